//! Reports internal errors. Panic messages would be a fifth of the router's binary, so it has none: a panic executes a
//! trap instruction, and this hook prints its address.

use nix::errno::Errno;

/// The signals of trap instructions and processor faults.
const SIGNALS: [libc::c_int; 5] = [libc::SIGILL, libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

const PREFIX: &[u8] = b"millpond: internal error at 0x";
const SUFFIX: &[u8] = concat!(", version ", env!("CARGO_PKG_VERSION"), ": please report this line\n").as_bytes();
const DIGITS: usize = 2 * size_of::<usize>();

/// Installs signal handlers that print one line with the fault's address to standard error. `cross/where` finds the
/// source line of the address.
pub fn install() {
    for signal in SIGNALS {
        // SAFETY: a sigaction is plain old data, for which zeros are valid.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = report;
        action.sa_sigaction = handler as usize;
        // SA_ONSTACK: runs on Rust's alternate signal stack, because a stack overflow is also a fault. SA_RESETHAND:
        // only once.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        // SAFETY: the action lives through the call, and its handler is async-signal-safe.
        _ = Errno::result(unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) });
    }
}

/// The signal handler. It allocates nothing, takes no lock, and raises the signal again to end the process.
extern "C" fn report(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO the context of what it interrupted.
    let address = unsafe { program_counter(context) };
    let mut line = [0; PREFIX.len() + DIGITS + SUFFIX.len()];
    let digits = (0..DIGITS).rev().map(|place| b"0123456789abcdef"[address >> (4 * place) & 15]);
    line.iter_mut()
        .zip(PREFIX.iter().copied().chain(digits).chain(SUFFIX.iter().copied()))
        .for_each(|(to, byte)| *to = byte);
    // SAFETY: the pointer and length are of an array that lives through the call; neither call takes a lock.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        libc::raise(signal);
    }
}

/// The interrupted program counter; 0 on processor architectures without a millpond package.
///
/// # Safety
///
/// `context` has to be the context that the kernel passed to a signal handler.
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
    // The libc crate has no ucontext_t for MIPS: flags, link, stack (12 bytes), two words, then the program counter in
    // 64 bits (arch/mips/include/uapi/asm/{ucontext,sigcontext}.h).
    #[cfg(all(target_arch = "mips", target_pointer_width = "32"))]
    // SAFETY: see above.
    return unsafe { context.cast::<u64>().add(4).read_unaligned() as usize };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm", target_arch = "mips")))]
    return {
        _ = context;
        0
    };
}
