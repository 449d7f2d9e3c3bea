package faults_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// kube stands between a spoke and its API server, counts the requests for ConfigMaps, and can kill the spoke at one of
// them.
type kube struct {
	spoke  *spoke
	server *http.Server
	ended  chan error
	dead   chan error    // what came of the kill
	left   chan struct{} // who asked has ended the request at which the kill was

	turn sync.Mutex // held by the request that is counted, so that those after the last are never forwarded

	mu    sync.Mutex // guards what follows
	kill  kill
	count int // of requests since the kill was planned
	kills int // that were carried out
}

// kill says at which request the spoke is killed.
type kill struct {
	method string // none: never
	nth    int
	after  bool         // the server has carried it out, and the spoke does not hear so; else the server hears nothing
	who    func() error // kills somebody else, or nobody; the spoke gets no answer
}

// interpose puts a kube in front of the spoke's API server. The spoke must not have started yet.
func (p *spoke) interpose() {
	p.t.Helper()
	config := rest.AnonymousClientConfig(p.Cluster.Config())
	transport, err := rest.TransportFor(config)
	must(p.t, err)
	target, err := url.Parse(config.Host)
	must(p.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(p.t, err)
	token, err := redirect(filepath.Join(p.Dir, "kubeconfig"), config.Host, "http://"+listener.Addr().String())
	must(p.t, err)
	k := &kube{spoke: p, ended: make(chan error, 1), dead: make(chan error, 1),
		left: make(chan struct{}, 1)}
	k.server = &http.Server{Handler: k.handler(target, token, transport)}
	go func() { k.ended <- k.server.Serve(listener) }()
	p.t.Cleanup(func() {
		must(p.t, k.server.Close())
		<-k.ended
	})
	p.kube = k
}

// redirect writes another server into a kubeconfig, and returns the token in it, which no client sends over plain HTTP.
func redirect(path, from, to string) (token string, err error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return "", err
	}
	for _, c := range config.Clusters {
		if c.Server != from {
			return "", fmt.Errorf("%s names %s, want %s", path, c.Server, from)
		}
		c.Server, c.CertificateAuthorityData = to, nil
	}
	for _, u := range config.AuthInfos {
		token = u.Token
	}
	return token, clientcmd.WriteToFile(*config, path)
}

func (k *kube) handler(target *url.URL, token string, transport http.RoundTripper) http.Handler {
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("Authorization", "Bearer "+token)
		},
		Transport:     transport,
		FlushInterval: -1, // watches
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			if k.counts(r.Request) && k.due(true) {
				k.carryOut()
				return http.ErrAbortHandler
			}
			return nil
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !k.counts(r) {
			forward.ServeHTTP(w, r)
			return
		}
		kills := k.killed()
		k.turn.Lock()
		defer k.turn.Unlock()
		if k.killed() != kills {
			panic(http.ErrAbortHandler) // who asked is dead
		}
		k.mu.Lock()
		k.count++
		k.mu.Unlock()
		if k.due(false) {
			_, _ = io.Copy(io.Discard, r.Body) // without it nobody notices that the connection ends
			k.carryOut()
			<-r.Context().Done()
			select {
			case k.left <- struct{}{}:
			default:
			}
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	})
}

// counts reports whether a request is one of those at which the spoke may be killed.
func (k *kube) counts(r *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return r.Method == k.kill.method && strings.Contains(r.URL.Path, "/namespaces/"+k.spoke.namespace()+"/configmaps/")
}

// due reports whether the spoke is to be killed at the request that was counted last.
func (k *kube) due(after bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count == k.kill.nth && k.kill.after == after
}

// carryOut kills the spoke.
func (k *kube) carryOut() {
	k.mu.Lock()
	who := k.kill.who
	k.mu.Unlock()
	if who == nil {
		who = k.spoke.Kill
	}
	err := who()
	k.mu.Lock()
	k.kill = kill{}
	k.kills++
	k.mu.Unlock()
	k.dead <- err
}

func (k *kube) killed() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kills
}

// plan plans the next kill.
func (k *kube) plan(next kill) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kill, k.count = next, 0
	select {
	case <-k.left: // of the kill before
	default:
	}
}

// awaitEnd waits until the request at which the kill was is ended.
func (k *kube) awaitEnd() {
	k.spoke.t.Helper()
	select {
	case <-k.left:
	case <-time.After(patience / 3):
		k.spoke.t.Fatal("in vain: the spoke ends its request")
	}
}

// await waits until the spoke was killed as planned.
func (k *kube) await() {
	k.spoke.t.Helper()
	select {
	case err := <-k.dead:
		must(k.spoke.t, err)
	case <-time.After(patience):
		k.spoke.t.Fatal("in vain: the spoke makes the request at which it is to be killed")
	}
}
