//! What a front door does when it cannot accept: out of descriptors, above all.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::warn;

use super::guests::Guests;

/// How long accepting pauses after it failed: out of descriptors, it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// After accepting at `listener` has failed: a stranger gives way, since it may be that strangers
/// hold what there is too little of. Then accepting may be tried again. For the node's own door
/// those of the network are the first, or they would keep an operator out of it (S41).
///
/// Without a free descriptor accepting fails also where nobody is at the door (accept(2) takes the
/// descriptor first). Nobody has to give way to nobody, least of all the one who has just come in.
pub(super) async fn recover(guests: &Guests, listener: impl AsFd, door: &str, error: &io::Error) {
    if somebody_waits(listener) {
        if guests.count_failure().is_power_of_two() {
            warn!(door, %error, "cannot accept a connection");
        }
        guests.give_back();
    }
    tokio::time::sleep(PAUSE).await;
}

fn somebody_waits(listener: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&listener, PollFlags::IN)];
    // Where that cannot be told, there is somebody: the one who was not accepted.
    poll(&mut asked, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::serve::Peer;
    use crate::serve::limits::Limits;

    #[tokio::test(start_paused = true)]
    async fn out_of_descriptors_a_stranger_gives_way_to_who_waits_and_to_nobody_else() {
        let guests = Guests::new(Limits::default());
        let stranger = guests.receive(Peer::Net("10.0.0.1:1".parse().unwrap()));
        let stranger = stranger.await.unwrap();
        let is_out = || stranger.guest().turned_out().is_cancelled();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = io::Error::from(rustix::io::Errno::MFILE);
        recover(&guests, &listener, "network", &error).await;
        assert!(!is_out(), "nobody waits");
        let _waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        recover(&guests, &listener, "network", &error).await;
        assert!(is_out());
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_descriptors_the_networks_strangers_give_way_to_the_socket_and_never_the_reverse()
     {
        let network = Guests::new(Limits::default());
        let node = Guests::preferred_to(&network, Limits::default());
        let far = network.receive(Peer::Net("10.0.0.1:1".parse().unwrap()));
        let near = node.receive(Peer::Local { uid: 7, pid: None });
        let (far, near) = (far.await.unwrap(), near.await.unwrap());
        let out = || [&far, &near].map(|entry| entry.guest().turned_out().is_cancelled());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let error = io::Error::from(rustix::io::Errno::MFILE);
        recover(&node, &listener, "node", &error).await;
        assert_eq!(out(), [true, false], "the network's first");
        recover(&network, &listener, "network", &error).await;
        assert_eq!(out(), [true, false], "never for the network");
        recover(&node, &listener, "node", &error).await;
        assert_eq!(out(), [true, true], "then its own");
    }
}
