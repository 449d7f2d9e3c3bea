package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// serve takes offers and sends progress and heartbeats until the stream or the context ends. Only this goroutine sends.
func (s *Session) serve(ctx context.Context, hub *client) error {
	ended := make(chan error, 1)
	go func() { ended <- s.listen(hub.stream) }()
	beat := time.NewTimer(s.nextBeat())
	defer beat.Stop()
	renew := time.NewTimer(s.Identity.UntilRenewal())
	defer renew.Stop()
	s.wake.Raise() // send the progress made between hello and welcome
	for {
		var err error
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return errors.Join(ctx.Err(), hub.stream.CloseSend())
		case <-s.wake:
			err = s.sendProgress(hub)
		case <-beat.C:
			err = hub.stream.Send(&spokev1.SessionRequest{
				Message: &spokev1.SessionRequest_Heartbeat{Heartbeat: &spokev1.Heartbeat{}},
			})
			beat.Reset(s.nextBeat())
		case <-renew.C:
			s.renew(ctx, hub, renew)
			continue
		}
		if err == nil {
			err = s.sendCapabilities(hub)
		}
		if err != nil {
			return errors.Join(<-ended, ctx.Err()) // the receiver's error has the cause, that of Send has not
		}
	}
}

// renew renews the certificate if it is due, and sets the timer for the next check. Acknowledgements do not wait for
// the answer of the hub.
func (s *Session) renew(ctx context.Context, hub *client, next *time.Timer) {
	if !s.Identity.Credential().Due(s.Now()) {
		next.Reset(s.Identity.UntilRenewal())
		return
	}
	go func() {
		s.Identity.Renew(ctx, hub.conn)
		next.Reset(s.Identity.UntilRenewal())
	}()
}

// nextBeat returns the time until the next heartbeat: heartbeat, give or take a fifth, so that spokes do not beat
// together.
func (s *Session) nextBeat() time.Duration {
	return heartbeat*4/5 + time.Duration(s.Jitter()*float64(heartbeat*2/5))
}

// listen puts offers into the mailbox, and passes questions on, until the stream ends. Then nobody waits for a preview
// any more.
func (s *Session) listen(stream spokev1.SpokeService_SessionClient) error {
	defer s.ask(nil)
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the hub ended the session")
		}
		if err != nil {
			return err
		}
		if p := message.GetPreview(); p != nil {
			s.ask(p.GetEnvelope())
		}
		if q := message.GetSchemas(); q != nil {
			s.askSchemas(q)
		}
		if q := message.GetLogs(); q != nil {
			s.askLogs(q)
		}
		if keys := message.GetKeys(); keys != nil && s.Keys != nil {
			// Before the next offer is read, because the last of these keys signed that.
			if err := s.Keys.Accept(stream.Context(), keys.GetEnvelopes()); err != nil {
				return err
			}
		}
		if message.GetOffer() == nil {
			continue // a question, or of a newer hub
		}
		offer, err := readOffer(message.GetOffer())
		if err != nil {
			s.Log.Warn("an offer of the hub cannot be read", telemetry.Err(err))
			continue
		}
		s.mu.Lock()
		s.offer = &offer
		s.mu.Unlock()
		s.offers.Raise()
	}
}

// ask passes on which preview the hub asks for, in the place of one that nobody took yet. Only the goroutine of listen
// calls it.
func (s *Session) ask(envelope []byte) {
	select {
	case <-s.previews:
	default:
	}
	s.previews <- envelope
}

func readOffer(o *spokev1.Offer) (Offer, error) {
	digest, err := manifest.DigestFromBytes(o.GetBundle().GetDigest())
	if err != nil {
		return Offer{}, fmt.Errorf("bundle: %w", err)
	}
	offer := Offer{
		ID:       bundle.ID{Epoch: o.GetBundle().GetEpoch(), Sequence: o.GetBundle().GetSequence(), Digest: digest},
		Envelope: o.GetEnvelope(),
	}
	if len(offer.Envelope) == 0 {
		if offer.EnvelopeDigest, err = manifest.DigestFromBytes(o.GetEnvelopeDigest()); err != nil {
			return Offer{}, fmt.Errorf("envelope: %w", err)
		}
	}
	for _, b := range o.GetBlobs() {
		if d, err := manifest.DigestFromBytes(b.GetDigest()); err == nil { // no bundle can name another digest
			offer.Blobs = append(offer.Blobs, Blob{Digest: d, Size: b.GetSize(), Frame: b.GetFrame()})
		}
	}
	return offer, nil
}

// sendProgress sends the stages that the hub does not know yet, and a rejection.
func (s *Session) sendProgress(hub *client) error {
	s.mu.Lock()
	now, rejected := s.progress, s.rejected
	s.rejected = nil
	s.mu.Unlock()
	if rejected != nil {
		if err := hub.ack(rejected.id, spokev1.AckStage_ACK_STAGE_REJECTED, rejected.reason); err != nil {
			return err
		}
	}
	from := bundle.Received
	if now.id == hub.sent.id {
		from = hub.sent.stage + 1
	}
	for stage := from; stage <= now.stage; stage++ {
		if err := hub.ack(now.id, stage.Message(), ""); err != nil {
			return err
		}
	}
	hub.sent = now
	return nil
}

func (c *client) ack(id bundle.ID, stage spokev1.AckStage, reason string) error {
	return c.stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{
		Ack: &spokev1.Ack{Bundle: id.Message(), Stage: stage, Reason: reason},
	}})
}

// Report sends one report and waits for the hub's answer. If the connection stalls, or after callTimeout, Report
// returns an error.
func (s *Session) Report(ctx context.Context, r *spokev1.ReportRequest) error {
	return s.call(ctx, func(ctx context.Context, hub *client) error {
		if hub.protocol < 2 {
			r = reporting.WriteProtocol1(r)
		}
		_, err := hub.Report(ctx, r)
		return err
	})
}

// AnswerPreview sends the answer to a preview. Its errors are those of Report.
func (s *Session) AnswerPreview(ctx context.Context, answer *spokev1.AnswerPreviewRequest) error {
	return s.call(ctx, func(ctx context.Context, hub *client) error {
		_, err := hub.AnswerPreview(ctx, answer)
		return err
	})
}

// call makes one call to the hub.
func (s *Session) call(ctx context.Context, call func(context.Context, *client) error) error {
	hub := s.client.Load()
	if hub == nil {
		return ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, stop := hub.meter.watch(ctx)
	defer stop(nil)
	return causeOf(ctx, call(ctx, hub))
}
