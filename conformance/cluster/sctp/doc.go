// Package sctp speaks SCTP (RFC 9260) over raw IP sockets. It takes the place of
// github.com/ishidawataru/sctp in the test image's agnhost, and has that
// package's names for what agnhost calls, so that the upstream SCTP tests run
// where the kernel has no SCTP sockets. Such a kernel still carries, tracks and
// translates SCTP, and these tests are about nothing else.
//
// Whatever the tests can see is spoken as on a real socket: the four-way
// handshake with all of the server's state in a signed cookie, acknowledged and
// repeated DATA, the orderly shutdown, ABORT where nobody listens, CRC32c, both
// families. A raw socket sees every SCTP packet of its network namespace, so the
// programs in it share the ports by claims (see claimPort), and only one of them
// refuses what nobody claimed.
//
// Limits:
//   - It needs CAP_NET_RAW, which containers have unless somebody takes it from
//     them: the restricted Pod security level does.
//   - It does not work beside a kernel that speaks SCTP itself, which would end
//     every association that it does not know. The cluster builds agnhost with the
//     real sockets there.
//   - Without a program that uses this package, the kernel answers SCTP with an
//     ICMP error (protocol unreachable); to the client that is a refusal too.
//     Such an error names no port: it counts for each attempt that the same
//     network namespace makes to that address at the time.
//   - One address at each end, one stream in each direction, messages of up to
//     maxMessage bytes. Nothing is paced but by a window of maxOutstanding messages.
//   - A program must not end before its clients' Close returns: nobody else
//     repeats what got lost. That waits for the server for lingerTime, then breaks
//     off. What a server closes ends while its process goes on.
package sctp
