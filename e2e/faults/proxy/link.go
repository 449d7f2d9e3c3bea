package proxy

import (
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection through the proxy.
type link struct {
	proxy    *Proxy
	ends     [2]net.Conn // by the direction that leads to them
	vanished bool        // guarded by the proxy's mu

	once  sync.Once
	ended chan struct{}
}

// chunk is what was read at once.
type chunk struct {
	data []byte
	at   time.Time
}

// backlog is how many chunks wait inside of the proxy in one direction, at most. Beyond it the sender is not read from.
const backlog = 1024

// run forwards in both directions until the connection ends.
func (l *link) run() {
	var both sync.WaitGroup
	for _, d := range []Direction{ToTarget, ToClient} {
		chunks := make(chan chunk, backlog)
		both.Go(func() { l.read(d, chunks) })
		both.Go(func() {
			if err := l.write(d, chunks); err != nil {
				l.reset()
			}
			l.drop(d, chunks)
		})
	}
	both.Wait()
	l.close(false)
}

// reset ends the connection for both ends.
func (l *link) reset() { l.close(true) }

func (l *link) close(hard bool) {
	l.once.Do(func() {
		close(l.ended)
		for _, c := range l.ends {
			if hard {
				reset(c)
			} else {
				_ = c.Close()
			}
		}
	})
}

// read reads what is to go in a direction until its sender ends.
func (l *link) read(d Direction, chunks chan<- chunk) {
	defer close(chunks)
	from := l.ends[1-d]
	for {
		data := make([]byte, segment)
		n, err := from.Read(data)
		if n > 0 {
			l.proxy.mu.Lock()
			l.proxy.waiting[d] += int64(n)
			l.proxy.mu.Unlock()
			select {
			case chunks <- chunk{data[:n], time.Now()}:
			case <-l.ended:
				l.forget(d, n)
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *link) forget(d Direction, n int) {
	l.proxy.mu.Lock()
	l.proxy.waiting[d] -= int64(n)
	l.proxy.mu.Unlock()
}

// drop forgets what will not be sent any more.
func (l *link) drop(d Direction, chunks <-chan chunk) {
	for c := range chunks {
		l.forget(d, len(c.data))
	}
}

// write sends chunks in a direction as the faults let it. After the last it says goodbye, as the sender did.
func (l *link) write(d Direction, chunks <-chan chunk) error {
	to := l.ends[d]
	for {
		select {
		case <-l.ended:
			return nil
		case c, ok := <-chunks:
			if !ok {
				if tcp, ok := to.(*net.TCPConn); ok {
					_ = tcp.CloseWrite()
				}
				return nil
			}
			if err := l.send(d, to, c); err != nil {
				return err
			}
		}
	}
}

func (l *link) send(d Direction, to io.Writer, c chunk) error {
	defer l.forget(d, len(c.data))
	if err := l.delay(d, c); err != nil {
		return err
	}
	data, last := l.proxy.allowed(d, c.data)
	if _, err := to.Write(data); err != nil {
		return err
	}
	if last {
		return errReset
	}
	return nil
}

// allowed counts bytes as passed, and returns those that do, which are the last if the connection is to be reset after
// them.
func (p *Proxy) allowed(d Direction, data []byte) (passing []byte, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.resets[d]
	if r.left > 0 && p.passed[d]+int64(len(data)) >= r.at {
		data, last = data[:max(0, r.at-p.passed[d])], true
		r.at, r.left = r.at+r.every, r.left-1
	}
	p.passed[d] += int64(len(data))
	return data, last
}

// delay returns when a chunk may pass.
func (l *link) delay(d Direction, c chunk) error {
	late := l.proxy.late(len(c.data))
	for {
		l.proxy.mu.Lock()
		f, changed, vanished := l.proxy.faults, l.proxy.changed, l.vanished
		l.proxy.mu.Unlock()
		var due <-chan time.Time
		if !vanished && !f.Hold[d] {
			wait := time.Until(c.at.Add(f.Latency + late))
			if wait <= 0 {
				return l.pace(f, len(c.data))
			}
			t := time.NewTimer(wait)
			defer t.Stop()
			due = t.C
		}
		select {
		case <-due:
			return l.pace(f, len(c.data))
		case <-changed:
		case <-l.ended:
			return errReset
		}
	}
}

// late is how much later than others a chunk arrives, because it was lost.
func (p *Proxy) late(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.faults; f.Loss > 0 && p.chance.Float64() < f.Loss {
		return f.Resend
	}
	return 0
}

// pace waits for as long as so many bytes take.
func (l *link) pace(f Faults, n int) error {
	if f.Rate == 0 {
		return nil
	}
	t := time.NewTimer(time.Duration(n) * time.Second / time.Duration(f.Rate))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.ended:
		return errReset
	}
}
