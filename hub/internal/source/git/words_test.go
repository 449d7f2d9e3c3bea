package git_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/navefleet/nave/e2e/gittest"
)

// forged is what a server says to be taken for somebody else by whoever reads the status.
const forged = "\x1b]0;title\x07\x1b[2J\x1b[1;1H\u202eydaer si toor\u202c\u200b\u009b1mKustomization " +
	"flux-system/root is Ready"

// endless is more than anybody wants to read.
var endless = forged + strings.Repeat(" and so on", 7000)

// pktLine is a line of Git's protocol.
func pktLine(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

const commitID = "1111111111111111111111111111111111111111"

func advertisement(lines ...string) string {
	return pktLine("# service=git-upload-pack\n") + "0000" + strings.Join(lines, "") + "0000"
}

// smart serves an advertisement and the answer to every request.
func smart(refs, result string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, body := "advertisement", refs
		if r.Method == http.MethodPost {
			kind, body = "result", result
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-"+kind)
		_, _ = io.WriteString(w, body)
	}
}

// raw serves bytes for every connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, answer)
	}
}

// TestServerWords has servers whose words would do harm on a terminal, in a log or in a status.
func TestServerWords(t *testing.T) {
	main := pktLine(commitID + " refs/heads/main\x00side-band-64k agent=x\n")
	var tags []string
	for i := range 20 {
		tags = append(tags, pktLine(fmt.Sprintf("%s refs/heads/%s%d\n", commitID, endless[:3000], i)))
	}
	for name, serve := range map[string]http.HandlerFunc{
		"status_line":      raw("HTTP/1.1 503 " + endless[:50_000] + "\r\nContent-Length: 0\r\n\r\n"),
		"status_forbidden": raw("HTTP/1.1 403 " + forged + "\r\nContent-Length: 0\r\n\r\n"),
		"not_http":         raw(endless),
		"header":           raw("HTTP/1.1 200 OK\r\n" + forged + "\r\n\r\n"),
		"content_type":     raw("HTTP/1.1 200 OK\r\nContent-Type: " + endless[:40_000] + "\r\nContent-Length: 0\r\n\r\n"),
		"redirect":         raw("HTTP/1.1 302 Found\r\nLocation: /" + endless[:40_000] + "\r\nContent-Length: 0\r\n\r\n"),
		"redirect_query": raw("HTTP/1.1 302 Found\r\nLocation: " +
			"http://u:canary@h/login?token=canary#canary\r\nContent-Length: 0\r\n\r\n"),
		"error_line":       smart(pktLine("ERR "+endless[:60_000]), ""),
		"error_line_found": smart(pktLine("ERR Repository not found "+forged), ""),
		"references":       smart(advertisement(append([]string{main}, tags...)...), ""),
		"capability":       smart(advertisement(pktLine(commitID+" refs/heads/main\x00"+forged+"\n")), ""),
		"malformed_line":   smart(advertisement(pktLine(endless[:60_000])), ""),
		"no_answer":        smart(advertisement(main), pktLine(endless[:60_000])),
		"sideband_error":   smart(advertisement(main), pktLine("NAK\n")+pktLine("\x03"+endless[:60_000])),
		"sideband_channel": smart(advertisement(main), pktLine("NAK\n")+pktLine("\x09"+endless[:60_000])),
		"progress":         smart(advertisement(main), pktLine("NAK\n")+pktLine("\x02"+endless[:60_000])),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(serve)
			defer server.Close()
			branch := "main"
			if name == "references" {
				branch = "mian"
			}
			_, err := newFetcher(t.TempDir()).Fetch(t.Context(),
				request{URL: server.URL + "/x.git", Ref: reference{Branch: branch}}, nil)
			isFit(t, err)
		})
	}
}

// isFit wants an error that can be shown: one line, not too long, of printable characters.
func isFit(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if text := err.Error(); len(text) > 2<<10 || strings.Contains(text, "canary") ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != '\ufffd' }) {
		t.Errorf("%d bytes: %.300q", len(text), text)
	}
}

// TestServerRepeatsCredentials has a server that answers with the credentials it was given.
func TestServerRepeatsCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "text/html; "+user+" "+password+" "+r.Header.Get("Authorization"))
	}))
	defer server.Close()
	withUser := strings.Replace(server.URL, "://", "://u:c%40nary-canary@", 1)
	for name, req := range map[string]request{
		"basic":  {URL: server.URL + "/x.git", Secret: map[string]string{"username": "u", "password": "c@nary-canary"}},
		"bearer": {URL: server.URL + "/x.git", Secret: map[string]string{"bearerToken": "canary-canary"}},
		"url":    {URL: withUser + "/x.git"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newFetcher(t.TempDir()).Fetch(t.Context(), req, nil)
			isFit(t, err)
			encoded := base64.StdEncoding.EncodeToString([]byte("u:c@nary-canary"))
			if text := err.Error(); strings.Contains(text, encoded) || !strings.Contains(text, "(credentials)") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSSHServerWords has SSH servers that talk in every place where they can.
func TestSSHServerWords(t *testing.T) {
	for name, c := range map[string]struct {
		version, banner, stderr string
		accept                  bool
	}{
		"version": {version: "SSH-1.0-" + forged},
		"banner":  {banner: endless[:20_000]},
		"refusal": {},
		"stderr":  {accept: true, stderr: endless},
	} {
		t.Run(name, func(t *testing.T) {
			d := newTalkingSSH(t)
			d.version, d.banner, d.stderr, d.accept = c.version, c.banner, c.stderr, c.accept
			go d.serve()
			req := request{URL: "ssh://git@" + d.Addr().String() + "/x", Secret: map[string]string{
				"identity":    string(gittestKey(t)),
				"known_hosts": knownhosts.Line([]string{d.Addr().String()}, d.key.PublicKey()),
			}}
			_, err := newFetcher(t.TempDir()).Fetch(t.Context(), req, nil)
			isFit(t, err)
		})
	}
}

// gittestKey returns a private key for a client.
func gittestKey(t *testing.T) []byte {
	t.Helper()
	w := newWorld(t, gittest.Options{})
	identity, err := startSSH(t, w).Identity("")
	w.do(err)
	return identity
}

// talkingSSH is a scripted SSH server.
type talkingSSH struct {
	net.Listener
	key                     ssh.Signer
	version, banner, stderr string
	accept                  bool // any key
}

func newTalkingSSH(t *testing.T) *talkingSSH {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return &talkingSSH{Listener: listener, key: key}
}

func (d *talkingSSH) serve() {
	for {
		conn, err := d.Accept()
		if err != nil {
			return
		}
		d.talk(conn)
	}
}

func (d *talkingSSH) talk(conn net.Conn) {
	defer conn.Close()
	if d.version != "" {
		_, _ = io.WriteString(conn, d.version+"\r\n")
		return
	}
	config := &ssh.ServerConfig{
		BannerCallback: func(ssh.ConnMetadata) string { return d.banner },
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			if !d.accept {
				return nil, fmt.Errorf("no: %s", forged)
			}
			return &ssh.Permissions{}, nil
		},
	}
	config.AddHostKey(d.key)
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			_ = r.Reply(true, nil)
			_, _ = io.WriteString(session.Stderr(), d.stderr)
			_, _ = session.SendRequest("exit-status", false, []byte{0, 0, 0, 128})
			_ = session.Close()
		}
	}
}
