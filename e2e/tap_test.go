package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/navefleet/nave/shared/identity"
)

// tapCommands are the words of stories that look at the wire.
var tapCommands = map[string]command{
	// tap new | start: what is between the hub and its callers is kept, without TLS; hub start --advertise=$tap between
	"tap":    tapCommand,
	"tapped": tapped, // tapped TEXT: it passed on its way to the hub
}

// tap stands between the hub and its callers. It ends TLS on both sides, with certificates of the hub's own authority,
// and keeps the headers and messages of each call in files that canary looks into.
type tap struct {
	listener  net.Listener
	dir       string
	hub       string // its address
	authority *identity.Authority
	inward    identity.Credential // shown to callers

	mu    sync.Mutex // guards the following
	conns int
	err   error // a connection that could not be read
}

func tapCommand(_ context.Context, s *story, args []string) (err error) {
	switch {
	case len(args) == 1 && args[0] == "new" && s.tap == nil:
		t := &tap{dir: filepath.Join(s.dir, "tap")}
		if t.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		s.tap = t
		s.cleanups = append(s.cleanups, t.listener.Close)
		s.ts.Setenv("tap", t.listener.Addr().String())
		return os.MkdirAll(t.dir, 0o700)
	case len(args) == 1 && args[0] == "start" && s.tap != nil && s.fleet != nil:
		return s.tap.start(filepath.Join(s.fleet.Dir, "hub", "ca"), s.fleet.Listen)
	}
	return errors.New("tap new | start; the hub starts between them")
}

// tapped wants a text among what callers sent, and every connection read to its end.
func tapped(_ context.Context, s *story, args []string) error {
	if s.tap == nil || len(args) != 1 {
		return errors.New("tapped TEXT; tap start comes first")
	}
	if err := s.tap.failure(); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.tap.dir, "*-up-*"))
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil || strings.Contains(string(b), args[0]) {
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("%q did not pass in %d calls", args[0], len(files)))
}

func (t *tap) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *tap) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = errors.Join(t.err, err)
}

// start accepts callers until the listener is closed.
func (t *tap) start(ca, hub string) (err error) {
	t.hub = hub
	if t.authority, err = identity.LoadOrCreateAuthority(ca); err != nil {
		return err
	}
	if err := t.credential(&t.inward, identity.Caller{ID: t.hubID()}); err != nil {
		return err
	}
	go func() {
		for {
			conn, err := t.listener.Accept()
			if err != nil {
				return
			}
			go t.serve(conn)
		}
	}()
	return nil
}

func (t *tap) hubID() identity.ID {
	return identity.ID{TrustDomain: t.authority.TrustDomain(), Role: identity.Hub, Name: "hub"}
}

// credential gives c a certificate for an identity.
func (t *tap) credential(c *identity.Credential, who identity.Caller) error {
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	var chain [][]byte
	if who.Registration != "" {
		chain, err = t.authority.IssueRegistered(key.Public(), who.ID, time.Hour, who.Registration)
	} else {
		chain, err = t.authority.Issue(key.Public(), who.ID, time.Hour, nil, nil)
	}
	if err != nil {
		return err
	}
	pair, err := identity.Pair(key, chain)
	c.Set(pair, []*x509.Certificate{t.authority.Certificate()})
	return err
}

// serve connects one caller with the hub.
func (t *tap) serve(raw net.Conn) {
	defer raw.Close()
	config := identity.ServerTLS(&t.inward)
	config.NextProtos = []string{http2.NextProtoTLS}
	caller := tls.Server(raw, config)
	if caller.Handshake() != nil {
		return
	}
	hub, err := t.dial(caller.ConnectionState())
	if err != nil {
		return // the hub is down
	}
	defer hub.Close()
	t.mu.Lock()
	t.conns++
	name := filepath.Join(t.dir, fmt.Sprint(t.conns))
	t.mu.Unlock()
	done := make(chan struct{}, 2)
	go func() { t.pass(hub, caller, name+"-up", len(http2.ClientPreface)); done <- struct{}{} }()
	go func() { t.pass(caller, hub, name+"-down", 0); done <- struct{}{} }()
	<-done // the other direction ends with the connections
}

// dial connects to the hub as the caller that has shown a certificate, or as a stranger.
func (t *tap) dial(state tls.ConnectionState) (net.Conn, error) {
	config := identity.PinnedClientTLS(t.authority.Pin())
	if len(state.PeerCertificates) > 0 {
		who, err := identity.Peer(peer.NewContext(context.Background(),
			&peer.Peer{AuthInfo: credentials.TLSInfo{State: state}}))
		if err != nil {
			return nil, err
		}
		var c identity.Credential
		if err := t.credential(&c, who); err != nil {
			return nil, err
		}
		config = identity.ClientTLS(&c, t.hubID())
	}
	config.NextProtos = []string{http2.NextProtoTLS}
	return tls.Dial("tcp", t.hub, config)
}

// pass copies what one side sends to the other, and keeps it.
func (t *tap) pass(to io.Writer, from io.Reader, name string, preface int) {
	r, w := io.Pipe()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := keep(r, name, preface); err != nil {
			t.fail(fmt.Errorf("%s: %w", name, err))
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	_, _ = io.Copy(io.MultiWriter(w, to), from)
	_ = w.Close()
	<-kept
}

// keep writes the headers and messages of HTTP/2 frames to a file, those of each stream together.
func keep(r io.Reader, name string, preface int) error {
	if _, err := io.CopyN(io.Discard, r, int64(preface)); err != nil {
		return nil // it said nothing
	}
	framer := http2.NewFramer(io.Discard, r)
	framer.SetMaxReadFrameSize(1<<24 - 1)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	streams := map[uint32]*os.File{}
	defer func() {
		for _, file := range streams {
			_ = file.Close()
		}
	}()
	of := func(id uint32) (io.Writer, error) {
		if streams[id] == nil {
			file, err := os.OpenFile(fmt.Sprintf("%s-%d", name, id),
				os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, err
			}
			streams[id] = file
		}
		return streams[id], nil
	}
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var text []byte
		switch frame := frame.(type) {
		case *http2.DataFrame:
			text = frame.Data()
		case *http2.MetaHeadersFrame:
			for _, field := range frame.Fields {
				text = append(text, field.Name+": "+field.Value+"\n"...)
			}
		}
		if len(text) == 0 {
			continue
		}
		w, err := of(frame.Header().StreamID)
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			return err
		}
	}
}
