package session

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func offerOf(n uint64) *spokev1.SessionResponse {
	return &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: &spokev1.Offer{Bundle: id(n).Message(),
		Envelope: []byte("envelope")}}}
}

// unknown is a message of a kind that only a newer hub knows.
func unknown() *spokev1.SessionResponse {
	m := &spokev1.SessionResponse{}
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("news")))
	return m
}

// TestOrder_first: a session begins with the welcome. A hub that says anything else first gets no session, and nothing
// of what it says is taken.
func TestOrder_first(t *testing.T) {
	for name, first := range map[string]*spokev1.SessionResponse{"offer": offerOf(1), "unknown": unknown(),
		"nothing": {}} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.first = first
			s := newSession(h, &drawer{}, nil)
			if _, err := s.once(t.Context()); err == nil || !contains(err, "the hub's first message is not a welcome") {
				t.Errorf("got %v", err)
			}
			if o, ok := s.TakeOffer(); ok {
				t.Errorf("took %v", o)
			}
		})
	}
}

// TestOrder_later: what is out of place in a session is passed over, and the session goes on.
func TestOrder_later(t *testing.T) {
	short := &spokev1.Offer{Bundle: &spokev1.BundleId{Sequence: 1, Digest: []byte("short")}}
	broken := &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: short}}
	for name, messages := range map[string][]*spokev1.SessionResponse{
		"second_welcome":  {welcome()},
		"unknown":         {unknown()},
		"nothing":         {{}},
		"broken_offer":    {broken},
		"empty_offer":     {{Message: &spokev1.SessionResponse_Offer{}}},
		"duplicated":      {offerOf(2), offerOf(2)},
		"older_afterward": {offerOf(3), offerOf(1)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			s := newSession(h, &drawer{}, nil)
			run(t, s)
			next(t, h.hellos, "hello")
			for _, m := range append(messages, offerOf(4)) {
				h.others <- m
			}
			until(t, "the last offer taken", func() bool { o, ok := s.TakeOffer(); return ok && o.ID == id(4) })
			if len(h.hellos) > 0 || s.Status() != "" {
				t.Errorf("the session ended: %s", s.Status())
			}
		})
	}
}
