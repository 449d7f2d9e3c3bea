package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

const patience = 10 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// echo returns a proxy to a server that sends back what it gets.
func echo(t *testing.T) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	p, err := Listen(l.Addr().String())
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// say sends a text and returns how long it took to come back.
func say(t *testing.T, c net.Conn, text string) time.Duration {
	t.Helper()
	start := time.Now()
	_, err := io.WriteString(c, text)
	must(t, err)
	back := make([]byte, len(text))
	_, err = io.ReadFull(c, back)
	must(t, err)
	if string(back) != text {
		t.Fatalf("%q came back as %q", text, back)
	}
	return time.Since(start)
}

// quiet checks that nothing comes for a moment.
func quiet(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, syscall.EAGAIN) && !isTimeout(err) {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestProxy(t *testing.T) {
	t.Run("clear", func(t *testing.T) {
		p := echo(t)
		c := dial(t, p)
		say(t, c, "hello")
		must(t, c.(*net.TCPConn).CloseWrite())
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("after the goodbye came %q, %v", rest, err)
		}
		if p.Passed(ToTarget) != 5 || p.Passed(ToClient) != 5 || p.Waiting(ToTarget) != 0 || p.Opened() != 1 {
			t.Errorf("passed %d and %d, %d are waiting, of %d", p.Passed(ToTarget), p.Passed(ToClient), p.Waiting(ToTarget),
				p.Opened())
		}
	})
	t.Run("latency", func(t *testing.T) {
		p := echo(t)
		c := dial(t, p)
		p.Set(Faults{Latency: 50 * time.Millisecond})
		if d := say(t, c, "hello"); d < 100*time.Millisecond {
			t.Errorf("there and back in %s", d)
		}
		p.Clear()
		if d := say(t, c, "hello"); d > 90*time.Millisecond {
			t.Errorf("there and back in %s", d)
		}
	})
	t.Run("rate", func(t *testing.T) {
		p := echo(t)
		c := dial(t, p)
		p.Set(Faults{Rate: 10_000})
		if d := say(t, c, string(make([]byte, 2_000))); d < 200*time.Millisecond {
			t.Errorf("2,000 bytes passed in %s", d)
		}
	})
	t.Run("loss", func(t *testing.T) {
		p := echo(t)
		c := dial(t, p)
		p.Set(Faults{Loss: 1, Resend: 50 * time.Millisecond})
		if d := say(t, c, "hello"); d < 100*time.Millisecond {
			t.Errorf("there and back in %s", d)
		}
	})
	t.Run("hold", func(t *testing.T) {
		p := echo(t)
		c := dial(t, p)
		p.Set(Faults{Hold: [2]bool{ToClient: true}})
		_, err := io.WriteString(c, "hello")
		must(t, err)
		for deadline := time.Now().Add(patience); p.Waiting(ToClient) < 5; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing waits")
			}
		}
		quiet(t, c)
		p.Clear()
		_, err = io.ReadFull(c, make([]byte, 5))
		must(t, err)
	})
	t.Run("vanish", func(t *testing.T) {
		p := echo(t)
		old := dial(t, p)
		say(t, old, "hello")
		p.Vanish()
		_, err := io.WriteString(old, "hello")
		must(t, err)
		quiet(t, old)
		say(t, dial(t, p), "another connection")
		p.Clear()
		if _, err := old.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		p := echo(t)
		p.Reset(ToClient, 2_500, 2)
		for i := range int64(2) {
			c := dial(t, p)
			_, err := c.Write(make([]byte, 10_000))
			must(t, err)
			got, err := io.ReadAll(c)
			if !errors.Is(err, syscall.ECONNRESET) || len(got) > 2_500 {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if passed := p.Passed(ToClient); passed != 2_500*(i+1) {
				t.Errorf("%d bytes passed", passed)
			}
		}
		say(t, dial(t, p), string(make([]byte, 10_000)))
	})
	t.Run("cut", func(t *testing.T) {
		p := echo(t)
		c := dial(t, p)
		say(t, c, "hello")
		p.Set(Faults{Refuse: true})
		p.Cut()
		if _, err := io.Copy(new(bytes.Buffer), c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
		refused, err := net.Dial("tcp", p.Addr()) // which may hear of the reset at once
		if err == nil {
			_, err = refused.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
		p.Clear()
		say(t, dial(t, p), "hello again")
	})
}
