//! The last words of a program that should never need any. Routers' programs carry no texts for what cannot happen, which
//! would be a fifth of them: where it happens all the same the processor traps, and the address says where.

use nix::errno::Errno;
use nix::libc;

/// What a trap, and a processor that is asked the impossible, come as.
const SIGNALS: [libc::c_int; 5] = [libc::SIGILL, libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

const BEFORE: &[u8] = b"millpond: internal error at 0x";
const AFTER: &[u8] = concat!(", version ", env!("CARGO_PKG_VERSION"), ": please report this line\n").as_bytes();
const DIGITS: usize = 2 * size_of::<usize>();

/// From now on such an end is one line on standard error. `cross/where` finds the place in the source by its address.
pub fn install() {
    for signal in SIGNALS {
        // SAFETY: a sigaction is plain old data, for which zeros are valid.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = report;
        action.sa_sigaction = handler as usize;
        // On the stack that Rust keeps for it, for an overflow of the ordinary one is a fault too. Once only.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        // SAFETY: the action lives through the call, and its handler does only what a handler may.
        _ = Errno::result(unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) });
    }
}

/// Allocates nothing, takes no lock, and ends by the signal that came.
extern "C" fn report(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO the context of what it interrupted.
    let address = unsafe { program_counter(context) };
    let mut line = [0; BEFORE.len() + DIGITS + AFTER.len()];
    let digits = (0..DIGITS).rev().map(|place| b"0123456789abcdef"[address >> (4 * place) & 15]);
    line.iter_mut()
        .zip(BEFORE.iter().copied().chain(digits).chain(AFTER.iter().copied()))
        .for_each(|(to, byte)| *to = byte);
    // SAFETY: the pointer and length are of an array that lives through the call; neither call takes a lock.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        libc::raise(signal);
    }
}

/// Where the program was; 0 on processors that millpond has no package for.
///
/// # Safety
///
/// `context` has to be what the kernel gave a signal's handler.
unsafe fn program_counter(context: *mut libc::c_void) -> usize {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: see above.
    return unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] as usize };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: see above.
    return unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.pc as usize };
    #[cfg(target_arch = "arm")]
    // SAFETY: see above.
    return unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.arm_pc as usize };
    // The crate libc does not know it: flags, link, stack (12 bytes), two words, and then the address in 64 bits
    // (arch/mips/include/uapi/asm/{ucontext,sigcontext}.h).
    #[cfg(all(target_arch = "mips", target_pointer_width = "32"))]
    // SAFETY: see above.
    return unsafe { context.cast::<u64>().add(4).read_unaligned() as usize };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm", target_arch = "mips")))]
    return {
        _ = context;
        0
    };
}
