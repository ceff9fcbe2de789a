package source

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// kept says which fields of a protobuf message count; those of a field that is
// a message itself are in its value, nil for all.
type kept map[protowire.Number]kept

// keptOfPod is what [policy.PodFromAPI] reads of a Pod: a twentieth of it.
// Leaving out the rest before it is decoded spares the allocations.
var keptOfPod = kept{
	1: { // metadata
		1: nil, // name
		3: nil, // namespace
		5: nil, // uid
		6: nil, // resourceVersion
		8: nil, // creationTimestamp
		9: nil, // deletionTimestamp
		// labels, annotations
		11: nil, 12: nil,
	},
	2: { // spec
		2:  keptOfContainer, // containers
		10: nil,             // nodeName
		11: nil,             // hostNetwork
		20: keptOfContainer, // initContainers
	},
	3: { // status
		1: nil, // phase
		5: nil, // hostIP
		6: nil, // podIP
		// podIPs, hostIPs
		12: nil, 16: nil,
	},
}

var keptOfContainer = kept{
	1:  nil, // name
	6:  nil, // ports
	24: nil, // restartPolicy
}

var errNoProtobuf = errors.New("an object is no protobuf")

// prune appends to out the fields of a message that are kept.
func (k kept) prune(out, message []byte) ([]byte, error) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, errNoProtobuf
		}
		size := protowire.ConsumeFieldValue(field, kind, message[n:])
		if size < 0 {
			return nil, errNoProtobuf
		}
		whole := message[:n+size]
		message = message[n+size:]
		inner, ok := k[field]
		switch {
		case !ok:
		case inner == nil || kind != protowire.BytesType:
			out = append(out, whole...)
		default:
			value, _ := protowire.ConsumeBytes(whole[n:])
			var err error
			if out, err = inner.nest(out, field, value); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// nest appends a field whose value is a pruned message. Its size is known only
// afterwards, so there is room for one of four bytes: a varint may be longer
// than it need be.
func (k kept) nest(out []byte, field protowire.Number, message []byte) ([]byte, error) {
	out = append(protowire.AppendTag(out, field, protowire.BytesType), 0, 0, 0, 0)
	start := len(out)
	out, err := k.prune(out, message)
	if err != nil {
		return nil, err
	}
	size := len(out) - start
	for i := range 3 {
		out[start-4+i] = byte(size>>(7*i)) | 0x80
	}
	out[start-1] = byte(size >> 21)
	return out, nil
}
