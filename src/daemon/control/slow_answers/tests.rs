//! The queue of those who wait for a long answer. No process starts: its output is given.

use super::*;
use crate::daemon::control::ubus::Caller;

fn requester() -> Requester {
    Requester::Ubus(Caller::unknown())
}

fn waiting(kinds: &[(SlowAnswer, Format)]) -> SlowAnswers {
    let mut slow_answers = SlowAnswers::default();
    for (topic, format) in kinds {
        assert!(slow_answers.push(*topic, *format, requester()).is_none());
    }
    slow_answers
}

#[test]
fn a_process_is_due_only_while_somebody_waits() {
    assert_eq!(SlowAnswers::default().next_timeout(), None);
    assert_eq!(waiting(&[(SlowAnswer::Devices, Format::Json)]).next_timeout(), Some(Nanos::ZERO));
}

#[test]
fn the_fifth_requester_is_refused_and_the_others_keep_their_place() {
    let mut slow_answers = waiting(&[(SlowAnswer::Devices, Format::Json); MAX_REQUESTERS]);
    let Some((_, Answer::Refused(error))) = slow_answers.push(SlowAnswer::Advice, Format::Text, requester()) else {
        panic!("not refused")
    };
    assert_eq!(error.text, "too many requests at once: try again");
    assert_eq!(slow_answers.finish((SlowAnswer::Devices, Format::Json), &Ok(Vec::new())).len(), MAX_REQUESTERS);
}

#[test]
fn one_answer_serves_all_who_asked_for_the_same() {
    let (devices, advice) = ((SlowAnswer::Devices, Format::Json), (SlowAnswer::Advice, Format::Text));
    let mut slow_answers = waiting(&[devices, advice, devices, (SlowAnswer::Devices, Format::Values)]);
    let answers = slow_answers.finish(devices, &Ok(b"[]".to_vec()));
    assert_eq!(answers.len(), 2);
    for (_, answer) in answers {
        assert!(matches!(answer, Answer::Text(text) if text == "[]"));
    }
    let [(_, Answer::Table(table))] = &slow_answers.finish((SlowAnswer::Devices, Format::Values), &Ok(vec![7]))[..]
    else {
        panic!("one table")
    };
    assert_eq!(table, &[7]);
    assert_eq!(slow_answers.finish(advice, &Ok(Vec::new())).len(), 1);
    assert_eq!(slow_answers.next_timeout(), None);
}

#[test]
fn a_failed_process_refuses_with_what_it_was_doing() {
    let kind = (SlowAnswer::Advice, Format::Json);
    let answers = waiting(&[kind]).finish(kind, &Err(io::Error::other("no traffic observed")));
    let [(_, Answer::Refused(error))] = &answers[..] else { panic!("not refused") };
    assert_eq!(error.text, "computing the advice: no traffic observed");
}

#[test]
fn the_output_of_the_process_is_the_answer_or_its_error() {
    let WorkerOutput { fd: Some(fd), .. } = output(Ok(b"{}".to_vec())) else { panic!("no memfd") };
    assert_eq!(read(File::from(fd)).expect("readable"), b"{}");
    let failed = output(Err(io::Error::other("no neighbours")));
    assert_eq!((failed.fd.is_none(), failed.text.as_str()), (true, "no neighbours"));
}
