package source

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// listInPieces asks for a list in protobuf and hands over each object's bytes as
// they come, so that no more than one object is in memory at a time, however
// long the list. The bytes are valid until visit returns.
//
// One answer in full is the list that costs the API server the least: it comes
// from its cache, and is written in pieces and compressed. A list that is
// streamed as watch events is not compressed: it is ten times the bytes.
func listInPieces(ctx context.Context, client rest.Interface, resource string, o metav1.ListOptions, visit func([]byte) error) (metav1.ListMeta, error) {
	body, err := client.Get().Resource(resource).VersionedParams(&o, scheme.ParameterCodec).
		SetHeader("Accept", runtime.ContentTypeProtobuf).Stream(ctx)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	defer func() { _ = body.Close() }()
	meta, err := readList(body, visit)
	if err != nil {
		return metav1.ListMeta{}, fmt.Errorf("read the list of %s: %w", resource, err)
	}
	return meta, nil
}

// The fields of a list in the API's protobuf: four bytes of magic, and an
// envelope (runtime.Unknown) with the list in one of its fields. They are the
// same for lists of all kinds.
const (
	magic          = "k8s\x00"
	envelopeRaw    = 2
	listMeta       = 1
	listItem       = 2
	longestListed  = 16 << 20 // etcd refuses objects of a tenth of that
	bytesOfAPiece  = 32 << 10
	wireVarint     = 0
	wireFixed64    = 1
	wireBytes      = 2
	wireFixed32    = 5
	untilTheEnd    = -1
	noListReceived = "it holds no list"
)

// readList visits the objects of a list.
func readList(in io.Reader, visit func([]byte) error) (meta metav1.ListMeta, err error) {
	w := wire{in: bufio.NewReaderSize(in, bytesOfAPiece)}
	start, err := w.bytes(len(magic))
	if err != nil {
		return meta, err
	}
	if string(start) != magic {
		return meta, errors.New("it is no protobuf")
	}
	found := false
	err = w.message(untilTheEnd, func(field, size int) error {
		if field != envelopeRaw {
			return nil
		}
		found = true
		return w.message(size, func(field, size int) error {
			if field != listMeta && field != listItem {
				return nil
			}
			b, err := w.bytes(size)
			if err != nil {
				return err
			}
			if field == listMeta {
				return meta.Unmarshal(b)
			}
			return visit(b)
		})
	})
	if err == nil && !found {
		err = errors.New(noListReceived)
	}
	return meta, err
}

// wire reads protobuf from a stream.
type wire struct {
	in *bufio.Reader
	// at counts what was read.
	at  int
	buf []byte
}

// message visits the fields of a message of so many bytes that have a size. What
// visit leaves of one is skipped.
func (w *wire) message(size int, visit func(field, size int) error) error {
	end := w.at + size
	for size == untilTheEnd || w.at < end {
		if _, err := w.in.Peek(1); size == untilTheEnd && errors.Is(err, io.EOF) {
			return nil
		}
		tag, err := w.varint()
		if err != nil {
			return err
		}
		skip := 0
		switch tag & 7 {
		case wireVarint:
			_, err = w.varint()
		case wireFixed64:
			skip = 8
		case wireFixed32:
			skip = 4
		case wireBytes:
			if skip, err = w.varint(); err != nil {
				return err
			}
			began := w.at
			err = visit(tag>>3, skip)
			skip -= w.at - began
		default:
			err = fmt.Errorf("wire type %d", tag&7)
		}
		if err == nil {
			err = w.skip(skip)
		}
		if err != nil {
			return err
		}
	}
	if size != untilTheEnd && w.at != end {
		return errors.New("a message is longer than its field")
	}
	return nil
}

// ReadByte makes a wire an io.ByteReader.
func (w *wire) ReadByte() (byte, error) {
	b, err := w.in.ReadByte()
	if err == nil {
		w.at++
	}
	return b, err
}

func (w *wire) varint() (int, error) {
	n, err := binary.ReadUvarint(w)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && n > 1<<62 {
		err = errors.New("a size is negative")
	}
	return int(n), err
}

func (w *wire) bytes(n int) ([]byte, error) {
	if n > longestListed {
		return nil, fmt.Errorf("an object has %d bytes", n)
	}
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	read, err := io.ReadFull(w.in, w.buf[:n])
	w.at += read
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return w.buf[:n], err
}

func (w *wire) skip(n int) error {
	if n < 0 {
		return errors.New("a field is longer than its size")
	}
	skipped, err := io.CopyN(io.Discard, w.in, int64(n))
	w.at += int(skipped)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
