// Package kpl writes lines as an aggregate of the Kinesis Producer Library, which
// consumers and Firehose divide into user records again.
package kpl

import (
	"bytes"
	"crypto/fips140"
	"crypto/md5"
	"encoding/binary"
	"errors"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
)

// Name is the name of the format.
const Name format.Name = "kpl"

// Format returns the format.
func Format() format.Format {
	return format.Format{
		Name:         Name,
		Compressions: []format.Compression{format.Uncompressed},
		Why:          "consumers of aggregates read no compression",
		MaxLines:     format.MaxRecord - 16<<10, // up to 16 bytes per line, and a table
		HasKey:       true,
		Append:       Append,
		Start:        Magic,
		Filter:       filter,
	}
}

// An aggregate of the Kinesis Producer Library (KPL) is Magic, a message of
// protocol buffers, and the MD5 of the message (awslabs/amazon-kinesis-producer,
// aggregation format):
//
//	AggregatedRecord { repeated string partition_key_table = 1;
//	                   repeated string explicit_hash_key_table = 2;
//	                   repeated Record records = 3; }
//	Record { required uint64 partition_key_index = 1;
//	         optional uint64 explicit_hash_key_index = 2;
//	         required bytes data = 3;
//	         repeated Tag tags = 4; }
//
// Each aggregate has one partition key, the same as the Kinesis record's: if a user
// record's key belongs to another shard, the Kinesis Client Library silently drops the
// aggregate.
const (
	Magic     = "\xf3\x89\x9a\xc2"
	keyTag    = 1<<3 | 2 // field number and wire type
	recordTag = 3<<3 | 2
	indexTag  = 1 << 3 // a number: 0
	dataTag   = 3<<3 | 2
)

// Append appends lines as an aggregate of user records with the partition key. A
// user record is a line without its line feed, with at most 16 bytes of overhead.
func Append(dst []byte, _ *environment.Environment, key string, lines []format.Line) []byte {
	from := len(dst)
	dst = append(dst, Magic...)
	dst = append(dst, keyTag)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	for i := range lines {
		dst = appendUserRecord(dst, bytes.TrimSuffix(lines[i].Text, []byte{'\n'}))
	}
	sum := checksum(dst[from+len(Magic):])
	return append(dst, sum[:]...)
}

// checksum returns the MD5 of a message. The format requires it, and it protects
// nothing. So FIPS mode, in which crypto/md5 panics, need not apply.
func checksum(message []byte) (sum [md5.Size]byte) {
	fips140.WithoutEnforcement(func() { sum = md5.Sum(message) })
	return sum
}

func appendUserRecord(dst, data []byte) []byte {
	size := len(binary.AppendUvarint(nil, uint64(len(data)))) // of the length itself
	dst = append(dst, recordTag)
	dst = binary.AppendUvarint(dst, uint64(2+1+size+len(data)))
	dst = append(dst, indexTag, 0, dataTag)
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}

// Read calls each with every user record of an aggregate that Append wrote, and returns
// the partition key.
func Read(data []byte, each func(line []byte) error) (key []byte, err error) {
	if len(data) < len(Magic)+md5.Size || string(data[:len(Magic)]) != Magic {
		return nil, errNotAggregate
	}
	message := data[len(Magic) : len(data)-md5.Size]
	if sum := checksum(message); !bytes.Equal(sum[:], data[len(data)-md5.Size:]) {
		return nil, errNotAggregate
	}
	key, rest, ok := cutField(message, keyTag)
	for ok && len(rest) > 0 {
		var userRecord, line []byte
		if userRecord, rest, ok = cutField(rest, recordTag); !ok || len(userRecord) < 2 || userRecord[0] != indexTag || userRecord[1] != 0 {
			return nil, errNotAggregate
		}
		if line, userRecord, ok = cutField(userRecord[2:], dataTag); !ok || len(userRecord) > 0 {
			return nil, errNotAggregate
		}
		if err := each(line); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, errNotAggregate
	}
	return key, nil
}

// errNotAggregate means that Append did not write the aggregate.
var errNotAggregate = errors.New("not an aggregate that can be read back")

// cutField cuts a field of bytes off the beginning of a message.
func cutField(message []byte, tag byte) (value, rest []byte, ok bool) {
	if len(message) == 0 || message[0] != tag {
		return nil, nil, false
	}
	size, n := binary.Uvarint(message[1:])
	if n <= 0 || size > uint64(len(message)-1-n) {
		return nil, nil, false
	}
	from := 1 + n
	return message[from : from+int(size)], message[from+int(size):], true
}

func filter(payload []byte, keep format.Keep) ([]byte, error) {
	var kept []format.Line
	key, err := Read(payload, func(line []byte) error {
		l, ok := format.ReadLine(line)
		if !ok {
			return format.ErrNotReadable
		}
		if keep(l.Seq, event.Droppable(l.Type), len(line)+1) {
			kept = append(kept, l)
		}
		return nil
	})
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	return Append(nil, nil, string(key), kept), nil
}
