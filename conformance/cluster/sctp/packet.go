package sctp

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// chunkKind is the first byte of a chunk.
type chunkKind byte

const (
	chunkData             chunkKind = 0
	chunkInit             chunkKind = 1
	chunkInitAck          chunkKind = 2
	chunkSack             chunkKind = 3
	chunkHeartbeat        chunkKind = 4
	chunkHeartbeatAck     chunkKind = 5
	chunkAbort            chunkKind = 6
	chunkShutdown         chunkKind = 7
	chunkShutdownAck      chunkKind = 8
	chunkError            chunkKind = 9
	chunkCookieEcho       chunkKind = 10
	chunkCookieAck        chunkKind = 11
	chunkShutdownComplete chunkKind = 14

	// chunkSkip is the bit of an unknown kind that lets the rest of the packet be
	// read all the same.
	chunkSkip chunkKind = 0x80
)

const (
	// flagReflected (T) of ABORT and SHUTDOWN COMPLETE: the tag is not the
	// receiver's own, but the one that it sent.
	flagReflected = 1
	// flagWhole (B and E) of DATA: the first and the last piece of a message.
	flagWhole = 3

	commonHeader = 12
	chunkHeader  = 4
	initHeader   = 16
	dataHeader   = 12
	sackHeader   = 12

	// parameterCookie is the parameter of INIT ACK that COOKIE ECHO returns.
	parameterCookie = 7
)

var (
	errShort    = errors.New("sctp: packet is cut short")
	errChecksum = errors.New("sctp: wrong checksum")
	errChunk    = errors.New("sctp: malformed chunk")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// chunk is one piece of a packet, without its padding.
type chunk struct {
	kind  chunkKind
	flags byte
	value []byte
}

// packet is what follows the IP header.
type packet struct {
	src, dst uint16
	tag      uint32
	chunks   []chunk
}

// marshal is the packet's bytes, with the checksum.
func (p *packet) marshal() []byte {
	b := make([]byte, commonHeader, 64)
	binary.BigEndian.PutUint16(b, p.src)
	binary.BigEndian.PutUint16(b[2:], p.dst)
	binary.BigEndian.PutUint32(b[4:], p.tag)
	for _, c := range p.chunks {
		b = append(b, byte(c.kind), c.flags)
		b = binary.BigEndian.AppendUint16(b, uint16(chunkHeader+len(c.value)))
		b = append(b, c.value...)
		b = append(b, make([]byte, padding(len(c.value)))...)
	}
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

// parsePacket reads a packet whose chunks share its bytes. One that is wrong
// anywhere is wrong as a whole.
func parsePacket(b []byte) (packet, error) {
	if len(b) < commonHeader+chunkHeader {
		return packet{}, errShort
	}
	if checksum(b) != binary.LittleEndian.Uint32(b[8:]) {
		return packet{}, errChecksum
	}
	p := packet{src: binary.BigEndian.Uint16(b), dst: binary.BigEndian.Uint16(b[2:]), tag: binary.BigEndian.Uint32(b[4:])}
	for rest := b[commonHeader:]; len(rest) > 0; {
		if len(rest) < chunkHeader {
			return packet{}, errShort
		}
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < chunkHeader || length > len(rest) {
			return packet{}, errChunk
		}
		p.chunks = append(p.chunks, chunk{chunkKind(rest[0]), rest[1], rest[chunkHeader:length]})
		// The padding of the last chunk may be left out.
		rest = rest[min(length+padding(length), len(rest)):]
	}
	return p, nil
}

// checksum counts the checksum's own place as zero.
func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:8])
	sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0})
	return crc32.Update(sum, castagnoli, b[commonHeader:])
}

func padding(length int) int { return -length & 3 }

// initiation is what INIT and INIT ACK say of the sender.
type initiation struct {
	tag    uint32 // for all packets to the sender
	tsn    uint32 // of the sender's first DATA
	cookie []byte // of INIT ACK only
}

func (i initiation) marshal() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 64), i.tag)
	b = binary.BigEndian.AppendUint32(b, receiveWindow)
	b = append(b, 0, 1, 0, 1) // one stream out, one in
	b = binary.BigEndian.AppendUint32(b, i.tsn)
	if i.cookie != nil {
		b = binary.BigEndian.AppendUint16(b, parameterCookie)
		b = binary.BigEndian.AppendUint16(b, uint16(chunkHeader+len(i.cookie)))
		b = append(b, i.cookie...)
	}
	return b
}

// parseInitiation skips the parameters that offer what this package does not do.
func parseInitiation(b []byte) (initiation, error) {
	if len(b) < initHeader {
		return initiation{}, errChunk
	}
	i := initiation{tag: binary.BigEndian.Uint32(b), tsn: binary.BigEndian.Uint32(b[12:])}
	if i.tag == 0 || binary.BigEndian.Uint16(b[8:]) == 0 || binary.BigEndian.Uint16(b[10:]) == 0 {
		return initiation{}, errChunk
	}
	for rest := b[initHeader:]; len(rest) > 0; {
		if len(rest) < chunkHeader {
			return initiation{}, errChunk
		}
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < chunkHeader || length > len(rest) {
			return initiation{}, errChunk
		}
		if binary.BigEndian.Uint16(rest) == parameterCookie {
			i.cookie = rest[chunkHeader:length]
		}
		rest = rest[min(length+padding(length), len(rest)):]
	}
	return i, nil
}

// dataValue is the value of a DATA chunk that is a whole message.
func dataValue(tsn uint32, sequence uint16, message []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, dataHeader+len(message)), tsn)
	b = append(b, 0, 0) // stream
	b = binary.BigEndian.AppendUint16(b, sequence)
	b = append(b, 0, 0, 0, 0) // payload protocol
	return append(b, message...)
}

// sackValue acknowledges everything up to a TSN.
func sackValue(tsn, window uint32) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, sackHeader), tsn)
	b = binary.BigEndian.AppendUint32(b, window)
	return append(b, 0, 0, 0, 0) // no gaps, no duplicates
}

// after says of two TSNs, which start again at 0, that a comes after b.
func after(a, b uint32) bool { return int32(a-b) > 0 }
