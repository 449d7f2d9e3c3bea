package decrypt

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// The protocol of the key service is written here by hand: the messages of sops come with the SDKs of five clouds.
//
//	service KeyService { rpc Decrypt(DecryptRequest) returns (DecryptResponse); }
//	message DecryptRequest { Key key = 1; bytes ciphertext = 2; }
//	message DecryptResponse { bytes plaintext = 1; }

// The kinds of keys, each with its number in the message Key.
const (
	kmsField protowire.Number = iota + 1
	pgpField
	gcpField
	azureField
	vaultField
	ageField
	huaweiField
)

// wireKey is a key as the key service knows it: its kind, and the message of that kind.
type wireKey struct {
	kind    protowire.Number
	message []byte
}

// newWireKey returns a key of a kind whose message has texts as its fields 1, 2 and so on. Empty ones are left out.
func newWireKey(kind protowire.Number, texts ...string) wireKey {
	k := wireKey{kind: kind}
	for i, text := range texts {
		k.message = appendField(k.message, protowire.Number(i+1), []byte(text))
	}
	return k
}

// withContext adds the encryption context of a key of AWS KMS: a map, in field 3.
func (k wireKey) withContext(context map[string]string) wireKey {
	for _, name := range slices.Sorted(maps.Keys(context)) {
		entry := appendField(appendField(nil, 1, []byte(name)), 2, []byte(context[name]))
		k.message = protowire.AppendTag(k.message, 3, protowire.BytesType)
		k.message = protowire.AppendBytes(k.message, entry)
	}
	return k
}

// appendField appends a field, unless it is empty.
func appendField(to []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return to
	}
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// askDecrypt asks a key service for the plaintext of a data key.
func askDecrypt(ctx context.Context, conn *grpc.ClientConn, key wireKey, enc string) ([]byte, error) {
	inner := protowire.AppendBytes(protowire.AppendTag(nil, key.kind, protowire.BytesType), key.message)
	request := appendField(appendField(nil, 1, inner), 2, []byte(enc))
	var answer []byte
	if err := conn.Invoke(ctx, "/KeyService/Decrypt", request, &answer, grpc.ForceCodec(encoded{})); err != nil {
		return nil, err
	}
	return plaintextOf(answer)
}

var errAnswer = errors.New("the answer is no message of a key service")

// plaintextOf returns the plaintext in an answer.
func plaintextOf(answer []byte) (plain []byte, err error) {
	for len(answer) > 0 {
		number, kind, n := protowire.ConsumeTag(answer)
		if n < 0 {
			return nil, errAnswer
		}
		answer = answer[n:]
		n = protowire.ConsumeFieldValue(number, kind, answer)
		if n < 0 {
			return nil, errAnswer
		}
		if number == 1 && kind == protowire.BytesType {
			plain, _ = protowire.ConsumeBytes(answer)
		}
		answer = answer[n:]
	}
	return plain, nil
}

// encoded is the codec of messages that are encoded already.
type encoded struct{}

// Name returns the content type, which is that of protobuf.
func (encoded) Name() string { return "proto" }

// Marshal returns a message, which is a []byte.
func (encoded) Marshal(v any) ([]byte, error) {
	message, ok := v.([]byte)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return message, nil
}

// Unmarshal puts a message into a *[]byte.
func (encoded) Unmarshal(message []byte, v any) error {
	to, ok := v.(*[]byte)
	if !ok {
		return errors.ErrUnsupported
	}
	*to = bytes.Clone(message)
	return nil
}
