//! The task of one connection: reads, gives the bytes to the session, writes what it answers.
//!
//! One future polls everything by hand, so that a turn is: mail, one vectored write, one large
//! read. The read goes into memory that all connections of a thread share; only the tail of a frame
//! that is not whole is kept, so that an idle connection holds no buffer.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use leveret_broker::ids::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::mailbox::Mailbox;
use super::out_buffer::OutBuffer;
use super::tls::Metered;
use crate::clock;
use crate::session::amqp091::Session;

/// One read takes at most this much.
const READ_MAX: usize = 128 * 1024;
/// A kept tail up to this size is copied in front of the next read; a larger one grows in place.
const TAIL_COPY_MAX: usize = 16 * 1024;
/// How long a connection that has ended waits for the peer to close its side.
const LINGER: Duration = Duration::from_secs(1);
/// Turns before other tasks get their turn.
const TURNS_MAX: usize = 16;
/// Bytes that are read before other tasks get their turn: the work of a turn is what was read, and
/// a client that floods would have the whole of its thread.
const READ_BEFORE_OTHERS: usize = READ_MAX;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; TAIL_COPY_MAX + READ_MAX]);
}

/// What a connection's bytes go through.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// What it has taken may still be here, until it is flushed.
    const BUFFERS: bool;
}

impl Transport for TcpStream {
    const BUFFERS: bool = false;
}

impl Transport for TlsStream<Metered> {
    const BUFFERS: bool = true;
}

struct Driver<S> {
    stream: S,
    session: Session,
    mailbox: Arc<Mailbox>,
    /// Received, not used by the session yet.
    tail: Vec<u8>,
    /// The session stopped before it had looked at all of `tail`.
    stalled: bool,
    /// The transport has bytes that the socket has not taken.
    unflushed: bool,
    /// The peer has sent its end of file.
    read_closed: bool,
    sleep_at: Option<Timestamp>,
    /// Read since others had their turn.
    read_bytes: usize,
}

/// Serves one connection until it ends; whatever it held is released before this returns.
///
/// No `async fn`: the arguments of one take their place in its future twice, as they came and as
/// they are used, and this future is most of the memory of a connection.
pub(crate) fn serve<S>(stream: S, session: Session) -> impl Future<Output = ()> + Send
where
    S: Transport,
{
    let mailbox = Arc::clone(session.mailbox());
    let mut driver = Driver {
        stream,
        session,
        mailbox,
        tail: Vec::new(),
        stalled: false,
        unflushed: false,
        read_closed: false,
        sleep_at: None,
        read_bytes: 0,
    };
    async move {
        let mut sleep = pin!(sleep_until(Instant::now()));
        let end = poll_fn(|cx| driver.poll(cx, sleep.as_mut())).await;
        if let Err(error) = end {
            tracing::debug!(%error, "connection lost");
        }
        driver.session.release_all();
        // Close in good order, as far as the peer lets us.
        let shutdown = poll_fn(|cx| Pin::new(&mut driver.stream).poll_shutdown(cx));
        let _ = timeout(LINGER, shutdown).await;
        if !driver.read_closed {
            let _ = timeout(LINGER, poll_fn(|cx| poll_end(&mut driver.stream, cx))).await;
        }
    }
}

/// Reads and forgets until the peer has closed. A socket that is closed with something unread is
/// reset, and the peer may lose what was written last: the close-ok, for a client whose publishes
/// its own close has overtaken.
fn poll_end<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
    SCRATCH.with_borrow_mut(|scratch| {
        for _ in 0..TURNS_MAX {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

impl<S: Transport> Driver<S> {
    fn poll(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<io::Result<()>> {
        self.mailbox.register(cx.waker());
        self.read_bytes = 0;
        for _ in 0..TURNS_MAX {
            let mut progress = self.take_mail();
            progress |= self.write(cx)?;
            self.session.release_room();
            if self.session.is_ended() && self.session.out().is_empty() && !self.unflushed {
                return Poll::Ready(Ok(()));
            }
            progress |= self.read(cx)?;
            if self.read_closed {
                return Poll::Ready(Ok(()));
            }
            progress |= self.check_time(cx, sleep.as_mut());
            if !progress {
                return Poll::Pending;
            }
            if self.read_bytes >= READ_BEFORE_OTHERS {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Lets the session look at its mailbox.
    fn take_mail(&mut self) -> bool {
        let some = self.mailbox.take_signal();
        if some {
            self.session.take_mail(clock::now());
        }
        some
    }

    /// Writes as much as may be written and the socket takes.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while self.session.out().writable() > 0 {
            let written = {
                let mut slices = OutBuffer::no_slices();
                let count = self.session.out().slices(&mut slices);
                match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(written)) => written,
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => {
                        self.session.on_stuck(clock::now());
                        return Ok(progress);
                    }
                }
            };
            self.session.out().advance(written);
            self.session.stats().on_sent(written);
            self.session.on_written(clock::now());
            self.unflushed = S::BUFFERS;
            progress = true;
        }
        self.flush(cx)?;
        Ok(progress)
    }

    /// Has the socket take what the transport still has.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if S::BUFFERS && self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(()),
            }
            self.unflushed = false;
        }
        Ok(())
    }

    /// Reads once, and gives the session what there is.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.session.is_ended() || !self.session.wants_input() {
            return Ok(false);
        }
        if self.stalled {
            let tail = std::mem::take(&mut self.tail);
            self.feed_tail(tail);
            return Ok(true);
        }
        if self.tail.len() > TAIL_COPY_MAX {
            return self.read_in_place(cx);
        }
        let most = self.session.read_max().min(READ_MAX);
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.tail.len();
            scratch[..kept].copy_from_slice(&self.tail);
            let mut buffer = ReadBuf::new(&mut scratch[kept..kept + most]);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => result?,
            }
            let read = buffer.filled().len();
            self.read_bytes += read;
            self.read_closed = read == 0;
            if read > 0 {
                self.session.stats().on_received(read);
                self.tail.clear();
                self.feed(&scratch[..kept + read]);
            }
            Ok(read > 0)
        })
    }

    /// Reads behind a long tail, which grows by doubling.
    fn read_in_place(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut tail = std::mem::take(&mut self.tail);
        let kept = tail.len();
        tail.resize(kept + READ_MAX, 0);
        let mut buffer = ReadBuf::new(&mut tail[kept..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        tail.truncate(kept + read);
        match polled {
            Poll::Ready(Ok(())) if read > 0 => {
                self.session.stats().on_received(read);
                self.read_bytes += read;
                self.feed_tail(tail);
                Ok(true)
            }
            Poll::Ready(result) => {
                self.read_closed = true;
                result.map(|()| false)
            }
            Poll::Pending => {
                self.tail = tail;
                Ok(false)
            }
        }
    }

    /// Gives bytes to the session and keeps what it did not use.
    fn feed(&mut self, bytes: &[u8]) {
        let used = self.session.receive(bytes, clock::now());
        self.tail.clear();
        if used < bytes.len() {
            self.tail.extend_from_slice(&bytes[used..]);
        } else if self.tail.capacity() > 1024 {
            self.tail = Vec::new();
        }
        self.stalled = !self.tail.is_empty() && self.session.stopped_early();
    }

    /// Gives a long tail to the session, and keeps the rest in the same memory.
    fn feed_tail(&mut self, mut tail: Vec<u8>) {
        let used = self.session.receive(&tail, clock::now());
        tail.drain(..used);
        if !tail.is_empty() {
            self.tail = tail;
        }
        self.stalled = !self.tail.is_empty() && self.session.stopped_early();
    }

    /// Acts on deadlines, and sets the sleep to the next one. True when something was due.
    fn check_time(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> bool {
        loop {
            let Some(deadline) = self.session.deadline() else { return false };
            if deadline <= clock::now() {
                self.session.on_time(clock::now());
                return true;
            }
            // Deadlines move away with every read; the sleep is only moved when it rings or when a
            // nearer one comes.
            if self.sleep_at.is_none_or(|at| deadline < at) {
                self.sleep_at = Some(deadline);
                sleep.as_mut().reset(Instant::now() + clock::until(deadline));
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.sleep_at = None;
        }
    }
}
