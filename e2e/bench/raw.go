package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
)

// rawServer is the bare broadcast: a process that does nothing but send bytes down streams and count the answers. Its
// clients, each with its own certificate and connection, are in the processes of the spokes.
type rawServer struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan rawAnswer
	clients int
}

// rawAnswer is a line that the process prints: where it listens, first; then what each broadcast took.
type rawAnswer struct {
	Address string
	Took    time.Duration
	Error   string
}

// rawRequest is a line that the process is given.
type rawRequest struct{ Clients, Bytes int }

// startRaw starts the process and connects so many clients, which the crews have.
func startRaw(ctx context.Context, dir string, all crews, clients int) (*rawServer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := identity.LoadOrCreateAuthority(dir); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-raw-server", dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it ends with its standard input
	r := &rawServer{cmd: cmd, answers: make(chan rawAnswer), clients: clients}
	if r.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go r.read(stdout)
	a, err := r.answer(ctx)
	if err == nil {
		_, err = all.do(ctx, order{Raw: &rawOrder{Address: a.Address, Dir: dir}})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bare broadcast: %w", err), r.close())
	}
	return r, nil
}

func (r *rawServer) read(stdout io.Reader) {
	defer close(r.answers)
	lines := json.NewDecoder(stdout)
	for {
		var a rawAnswer
		if lines.Decode(&a) != nil {
			return
		}
		r.answers <- a
	}
}

func (r *rawServer) answer(ctx context.Context) (rawAnswer, error) {
	select {
	case a, open := <-r.answers:
		if !open {
			return a, errors.New("the server ended")
		}
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-ctx.Done():
		return rawAnswer{}, context.Cause(ctx)
	}
}

// connectRaw connects a client of the bare server for each spoke, with a certificate made here.
func (c *crowd) connectRaw(ctx context.Context, o rawOrder) error {
	authority, err := identity.LoadOrCreateAuthority(o.Dir)
	if err != nil {
		return err
	}
	c.raw = make([]*scripted, len(c.spokes))
	g := errgroup.Group{}
	g.SetLimit(setupWorkers)
	for i, s := range c.spokes {
		g.Go(func() (err error) {
			if ctx.Err() == nil {
				c.raw[i], err = rawClient(c.ctx, s.name, o.Address, authority)
			}
			return err
		})
	}
	err = g.Wait()
	c.raw = slices.DeleteFunc(c.raw, func(s *scripted) bool { return s == nil })
	return errors.Join(err, ctx.Err())
}

func rawClient(ctx context.Context, name, address string, authority *identity.Authority) (*scripted, error) {
	pair, err := issue(authority, identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster, Name: name})
	if err != nil {
		return nil, err
	}
	s := newScripted(name, address, authority.TrustDomain(), pair, trusted(authority))
	if err := s.open(ctx, s.hello()); err != nil {
		return nil, err
	}
	go func() {
		for { // the least that can be done: take the bytes, answer
			message, err := s.stream.Recv()
			if err != nil {
				return
			}
			ack := &spokev1.Ack{Bundle: message.GetOffer().GetBundle(), Stage: spokev1.AckStage_ACK_STAGE_APPLIED}
			if s.stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{Ack: ack}}) != nil {
				return
			}
		}
	}()
	return s, nil
}

// broadcast sends so many bytes to each client and returns how long that took until the last answer was in.
func (r *rawServer) broadcast(ctx context.Context, bytes int) (time.Duration, error) {
	if err := json.NewEncoder(r.stdin).Encode(rawRequest{r.clients, bytes}); err != nil {
		return 0, err
	}
	a, err := r.answer(ctx)
	return a.Took, err
}

func (r *rawServer) close() error {
	errs := []error{r.stdin.Close()}
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	select {
	case err := <-ended:
		errs = append(errs, err)
	case <-time.After(10 * time.Second):
		errs = append(errs, errors.New("the bare broadcast did not end"), r.cmd.Process.Kill())
	}
	return errors.Join(errs...)
}

// serveRaw is the process: it listens, says where, and broadcasts as it is told until its standard input ends.
func serveRaw(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	authority, err := identity.LoadOrCreateAuthority(dir)
	if err != nil {
		return err
	}
	pair, err := issue(authority, identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Hub, Name: "hub"})
	if err != nil {
		return err
	}
	credential := &identity.Credential{}
	credential.Set(pair, trusted(authority))
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(credential))),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: heartbeat, PermitWithoutStream: true}))
	b := &broadcaster{joined: make(chan chan *spokev1.SessionResponse, maxSpokes),
		acked: make(chan struct{}, maxSpokes)}
	spokev1.RegisterSpokeServiceServer(server, b)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	answers := json.NewEncoder(out)
	if err := answers.Encode(rawAnswer{Address: listener.Addr().String()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var request rawRequest
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return err
		}
		if err := answers.Encode(b.broadcast(ctx, request)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// broadcaster serves the streams.
type broadcaster struct {
	spokev1.UnimplementedSpokeServiceServer

	joined  chan chan *spokev1.SessionResponse
	acked   chan struct{}
	streams []chan *spokev1.SessionResponse
}

func (b *broadcaster) Session(stream spokev1.SpokeService_SessionServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	welcome := &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Welcome{Welcome: &spokev1.Welcome{}}}
	if err := stream.Send(welcome); err != nil {
		return err
	}
	down := make(chan *spokev1.SessionResponse, 1)
	b.joined <- down
	for {
		select {
		case message := <-down:
			if err := stream.Send(message); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		b.acked <- struct{}{}
	}
}

// broadcast waits for the clients, sends, and waits for the answers.
func (b *broadcaster) broadcast(ctx context.Context, r rawRequest) rawAnswer {
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	for len(b.streams) < r.Clients {
		select {
		case down := <-b.joined:
			b.streams = append(b.streams, down)
		case <-timeout.C:
			return rawAnswer{Error: fmt.Sprintf("%d of %d clients connected", len(b.streams), r.Clients)}
		case <-ctx.Done():
			return rawAnswer{Error: ctx.Err().Error()}
		}
	}
	message := &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: &spokev1.Offer{
		Bundle: &spokev1.BundleId{Epoch: 1, Sequence: 1, Digest: make([]byte, 32)}, Envelope: make([]byte, max(r.Bytes, 1)),
	}}}
	started := time.Now()
	for _, down := range b.streams {
		down <- message
	}
	for n := range r.Clients {
		select {
		case <-b.acked:
		case <-timeout.C:
			return rawAnswer{Error: fmt.Sprintf("%d of %d clients answered", n, r.Clients)}
		case <-ctx.Done():
			return rawAnswer{Error: ctx.Err().Error()}
		}
	}
	return rawAnswer{Took: time.Since(started)}
}
