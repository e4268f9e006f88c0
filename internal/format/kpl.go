package format

import (
	"bytes"
	"crypto/fips140"
	"crypto/md5"
	"encoding/binary"
	"errors"

	"kinetel/internal/event"
)

// An aggregate of the Kinesis Producer Library (KPL) is kplMagic, a message of
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
	kplMagic  = "\xf3\x89\x9a\xc2"
	kplKey    = 1<<3 | 2 // tags: field number and wire type
	kplRecord = 3<<3 | 2
	kplIndex  = 1 << 3 // a number: 0
	kplData   = 3<<3 | 2
)

// IsKPL reports whether a record's data is an aggregate, which contains its partition
// key.
func IsKPL(data []byte) bool { return bytes.HasPrefix(data, []byte(kplMagic)) }

// AppendKPL appends lines as an aggregate of user records with the partition key. A
// user record is a line without its line feed, with at most 16 bytes of overhead.
func AppendKPL(dst []byte, key string, lines []Line) []byte {
	from := len(dst)
	dst = append(dst, kplMagic...)
	dst = append(dst, kplKey)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	for i := range lines {
		dst = appendUserRecord(dst, bytes.TrimSuffix(lines[i].Text, []byte{'\n'}))
	}
	sum := checksum(dst[from+len(kplMagic):])
	return append(dst, sum[:]...)
}

// checksum returns the MD5 of a message. The format requires it, and it protects
// nothing. So FIPS mode, in which crypto/md5 panics, need not apply.
func checksum(message []byte) (sum [md5.Size]byte) {
	fips140.WithoutEnforcement(func() { sum = md5.Sum(message) })
	return sum
}

func appendUserRecord(dst, data []byte) []byte {
	size := uvarintSize(len(data))
	dst = append(dst, kplRecord)
	dst = binary.AppendUvarint(dst, uint64(2+1+size+len(data)))
	dst = append(dst, kplIndex, 0, kplData)
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}

func uvarintSize(n int) int { return len(binary.AppendUvarint(nil, uint64(n))) }

// errNotKPL means that AppendKPL did not write the aggregate.
var errNotKPL = errors.New("not an aggregate that can be read back")

// ReadKPL calls each with every user record of an aggregate that AppendKPL wrote.
func ReadKPL(data []byte, each func(line []byte) error) error {
	_, err := readKPL(data, each)
	return err
}

// readKPL is ReadKPL, and also returns the partition key.
func readKPL(data []byte, each func(line []byte) error) (key []byte, err error) {
	if len(data) < len(kplMagic)+md5.Size || !IsKPL(data) {
		return nil, errNotKPL
	}
	message := data[len(kplMagic) : len(data)-md5.Size]
	if sum := checksum(message); !bytes.Equal(sum[:], data[len(data)-md5.Size:]) {
		return nil, errNotKPL
	}
	key, rest, ok := cutField(message, kplKey)
	for ok && len(rest) > 0 {
		var userRecord, line []byte
		if userRecord, rest, ok = cutField(rest, kplRecord); !ok || len(userRecord) < 2 || userRecord[0] != kplIndex || userRecord[1] != 0 {
			return nil, errNotKPL
		}
		if line, userRecord, ok = cutField(userRecord[2:], kplData); !ok || len(userRecord) > 0 {
			return nil, errNotKPL
		}
		if err := each(line); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, errNotKPL
	}
	return key, nil
}

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

// filterKPL is Filter for an aggregate.
func filterKPL(payload []byte, keep func(seq uint64, droppable bool, size int) bool) ([]byte, error) {
	var kept []Line
	key, err := readKPL(payload, func(line []byte) error {
		l, ok := ReadLine(line)
		if !ok {
			return errNotKPL
		}
		if keep(l.Seq, event.Droppable(l.Type), len(line)+1) {
			kept = append(kept, l)
		}
		return nil
	})
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	return AppendKPL(nil, string(key), kept), nil
}
