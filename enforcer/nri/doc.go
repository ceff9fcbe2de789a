// Package nri hears of Pods from the container runtime before any of their
// processes runs. It is a plugin of the Node Resource Interface that containerd
// and CRI-O have: the runtime tells it of each sandbox once the network is
// there and no container is, with the Pod's UID, name and addresses, and waits
// for the answer. The plugin hands that to a [Sink] and answers when the Pod is
// enforced.
//
// # What the runtime must not suffer from
//
//   - It is never refused anything, whatever goes wrong here: an error in the
//     answer would keep the Pod from starting, and the Pod starts closed anyway.
//   - It never waits for longer than [MaxWait], which is half of the time after
//     which it gives a plugin up. A runtime tells of its sandboxes one after the
//     other, so waits add up over the Pods that start together: those that were
//     in vain are paid from a small credit (see patience), and when that is used
//     up the answer comes nearly at once.
//   - It changes nothing: the plugin subscribes to three events of sandboxes, to
//     none of containers, and asks for no adjustment.
//
// # What runtimes say
//
// containerd says the addresses from 2.1 on, CRI-O from 1.32 on. Both have NRI
// switched on since 2.0 and 1.30. Older ones say UID and name, and the path of
// the network namespace. That path is one of the node's files, which a
// container with nothing mounted cannot open, and no netlink request takes a
// name: so Addrs is empty then, and all that is known is that among the veths
// that belong to nobody yet there is this Pod's. A sandbox that has neither
// addresses nor a network namespace is on the node's network and concerns
// nobody here.
//
// A list of sandboxes, which the runtime sends after each connection, has no
// state in it and contains what has ended, too, with addresses that may be
// another's by now. [Sink.SetSandboxes] gets of it what is beyond doubt.
//
// # The socket
//
// A runtime that starts removes its socket and makes another, so whoever has the
// socket itself mounted is cut off by the runtime's first restart and for good.
// What must be mounted is its directory, which stays (TestMountedDirectory).
// Read-only is enough: to connect is not to write to a file system.
package nri
