package signing

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
)

// Limits of an envelope that is read. Anybody may have made it.
const (
	MaxEnvelopeBytes = 1 << 20
	MaxSignatures    = 8
)

// Encode returns the bytes of nave.bundle.v1.Envelope. If they are more than MaxEnvelopeBytes, or a text is not UTF-8,
// Encode returns an error.
func (e *Envelope) Encode() ([]byte, error) {
	m := &bundlev1.Envelope{PayloadType: e.PayloadType, Payload: e.Payload}
	for _, s := range e.Signatures {
		m.Signatures = append(m.Signatures, &bundlev1.Signature{KeyId: s.KeyID, Signature: s.Value})
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	if len(data) > MaxEnvelopeBytes {
		return nil, fmt.Errorf("encode envelope: %d bytes: more than %d", len(data), MaxEnvelopeBytes)
	}
	return data, nil
}

// DecodeEnvelope returns the envelope of bytes from Encode. DecodeEnvelope does not verify the signatures. If the
// envelope is over a limit, or has an unknown field, which no signature covers, DecodeEnvelope returns an error.
func DecodeEnvelope(data []byte) (*Envelope, error) {
	if len(data) > MaxEnvelopeBytes {
		return nil, fmt.Errorf("decode envelope: %d bytes: more than %d", len(data), MaxEnvelopeBytes)
	}
	m := new(bundlev1.Envelope)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("decode envelope: %w", err)
	}
	if len(m.GetSignatures()) > MaxSignatures {
		return nil, fmt.Errorf("decode envelope: %d signatures: more than %d", len(m.GetSignatures()), MaxSignatures)
	}
	e := &Envelope{PayloadType: m.GetPayloadType(), Payload: m.GetPayload()}
	unknown := len(m.ProtoReflect().GetUnknown())
	for _, s := range m.GetSignatures() {
		unknown += len(s.ProtoReflect().GetUnknown())
		e.Signatures = append(e.Signatures, Signature{KeyID: s.GetKeyId(), Value: s.GetSignature()})
	}
	if unknown > 0 {
		return nil, fmt.Errorf("decode envelope: fields that this version does not know: upgrade it")
	}
	return e, nil
}
