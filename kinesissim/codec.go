package kinesissim

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The two protocols of Kinesis have the same members. The SDK for Java, and so the Kinesis
// Client Library, sends CBOR by default; the other SDKs send JSON.
const (
	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

func (x *exchange) contentType() string {
	if x.cbor {
		return typeCBOR
	}
	return typeJSON
}

// marshal encodes an answer or an event in the protocol of the request.
func (x *exchange) marshal(out any) []byte {
	encode := json.Marshal
	if x.cbor {
		encode = cbor.Marshal
	}
	body, err := encode(out)
	if err != nil {
		panic(err) // a bug: the types of this package can be encoded
	}
	return body
}

// cborToJSON converts a request, so that one reader is enough. Bytes become base64, and
// timestamps become seconds.
func cborToJSON(b []byte) ([]byte, error) {
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		return nil, err
	}
	var v any
	if err := mode.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(jsonValue(v))
}

// jsonValue replaces the times in a decoded value: what the decoder read as seconds are
// milliseconds.
func jsonValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = jsonValue(member)
		}
	case []any:
		for i, element := range v {
			v[i] = jsonValue(element)
		}
	case time.Time:
		return float64(v.Unix()) / 1000
	}
	return v
}

// seconds is a timestamp as the protocols write it: seconds in JSON, and milliseconds in
// CBOR, although the tag that AWS puts before them stands for seconds.
type seconds time.Time

func (t seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(t).UnixMilli())/1000, 'f', -1, 64), nil
}

func (t seconds) MarshalCBOR() ([]byte, error) {
	return cbor.Marshal(cbor.Tag{Number: 1, Content: time.Time(t).UnixMilli()})
}
