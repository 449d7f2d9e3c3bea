package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// crewSize is how many spokes one process plays, at most. It has a connection to the hub and one to the bare server for
// each.
const crewSize = 2500

// order is a line that a crew is given: exactly one field is set.
type order struct {
	Join   []ticket  `json:",omitempty"` // register these spokes and connect them
	Raw    *rawOrder `json:",omitempty"` // connect a client of the bare server for each spoke
	Reset  bool      `json:",omitempty"` // count bytes from now on
	Await  string    `json:",omitempty"` // wait until each spoke has acknowledged a revision that contains this text
	Report bool      `json:",omitempty"` // wait until each spoke has reported what it acknowledged last
	Drop   bool      `json:",omitempty"` // end all connections, let the spokes come back
	Back   bool      `json:",omitempty"` // wait until each spoke has a session, which it has not lost
	Count  bool      `json:",omitempty"` // only answer
}

// ticket is what a spoke needs to register.
type ticket struct{ Name, Hub, Token, Pin, TrustDomain string }

// rawOrder says where the bare server is, and where its authority.
type rawOrder struct{ Address, Dir string }

// account is the answer to an order.
type account struct {
	Error    string         `json:",omitempty"`
	Applied  []time.Time    `json:",omitempty"` // when each spoke sent its last APPLIED
	Welcomed []time.Time    `json:",omitempty"` // when each spoke was welcomed last
	Received []int64        `json:",omitempty"` // bytes of each spoke
	Sent     []int64        `json:",omitempty"`
	Ended    map[string]int `json:",omitempty"` // sessions that failed or ended, by cause
	Lost     int            `json:",omitempty"` // of these, calls that ran into a timeout before the welcome
}

// crew is a process that plays spokes.
type crew struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
	size  int
}

// crews are the processes that play all spokes together.
type crews []*crew

// startCrews starts as many processes as so many spokes need, at least two.
func startCrews(spokes int) (crews, error) {
	n := max(2, (spokes+crewSize-1)/crewSize)
	var all crews
	for i := range n {
		c, err := startCrew()
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		c.size = spokes*(i+1)/n - spokes*i/n
		all = append(all, c)
	}
	return all, nil
}

func startCrew() (c *crew, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c = &crew{cmd: exec.Command(self, "-crew")}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it ends with its standard input
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(stdout)
	return c, c.cmd.Start()
}

// do gives an order and waits for the answer.
func (c *crew) do(ctx context.Context, o order) (account, error) {
	type answer struct {
		account
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		if a.err = json.NewEncoder(c.stdin).Encode(o); a.err == nil {
			a.err = c.out.Decode(&a.account)
		}
		answered <- a
	}()
	select {
	case a := <-answered:
		if a.err == nil && a.Error != "" {
			a.err = errors.New(a.Error)
		}
		return a.account, a.err
	case <-ctx.Done():
		return account{}, context.Cause(ctx)
	}
}

// do gives all crews an order, and returns their answers as one.
func (all crews) do(ctx context.Context, o order) (sum account, err error) {
	answers := make([]account, len(all))
	g, ctx := errgroup.WithContext(ctx)
	for i, c := range all {
		g.Go(func() (err error) {
			answers[i], err = c.do(ctx, o)
			return err
		})
	}
	err = g.Wait()
	sum.Ended = map[string]int{}
	for _, a := range answers {
		sum.Applied, sum.Welcomed = append(sum.Applied, a.Applied...), append(sum.Welcomed, a.Welcomed...)
		sum.Received, sum.Sent = append(sum.Received, a.Received...), append(sum.Sent, a.Sent...)
		sum.Lost += a.Lost
		for cause, n := range a.Ended {
			sum.Ended[cause] += n
		}
	}
	return sum, err
}

// joinChunk is how many spokes of a crew get their join tokens at once.
const joinChunk = 250

// join has every crew register and connect its spokes, each with a join token of its own.
func (all crews) join(ctx context.Context, hub *operator) error {
	g, ctx := errgroup.WithContext(ctx)
	first := 0
	for _, c := range all {
		spokes := make([]string, c.size)
		for i := range spokes {
			spokes[i] = spokeName(first + i)
		}
		first += c.size
		g.Go(func() error {
			for chunk := range slices.Chunk(spokes, joinChunk) {
				tickets, err := issueTickets(ctx, hub, chunk)
				if err != nil {
					return err
				}
				if _, err := c.do(ctx, order{Join: tickets}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// issueTickets makes a join token for each spoke.
func issueTickets(ctx context.Context, hub *operator, spokes []string) ([]ticket, error) {
	tickets := make([]ticket, len(spokes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(setupWorkers)
	for i, name := range spokes {
		g.Go(func() error {
			join, err := hub.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: name})
			tickets[i] = ticket{name, join.GetHubAddress(), join.GetToken(), join.GetCaPin(), join.GetTrustDomain()}
			return err
		})
	}
	return tickets, g.Wait()
}

// close ends the processes, with all their connections.
func (all crews) close() error {
	var errs []error
	for _, c := range all {
		errs = append(errs, c.stdin.Close())
	}
	for _, c := range all {
		ended := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() }) // Wait returns that it was killed
		errs = append(errs, c.cmd.Wait())
		ended.Stop()
	}
	return errors.Join(errs...)
}

// serveCrew is the process: it carries out orders until its standard input ends.
func serveCrew(ctx context.Context, in io.Reader, out io.Writer) error {
	c := newCrowd(ctx)
	defer c.close()
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a, err := c.carryOut(ctx, o)
		if err != nil {
			a = account{Error: err.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// carryOut carries out an order.
func (c *crowd) carryOut(ctx context.Context, o order) (account, error) {
	var err error
	switch {
	case len(o.Join) > 0:
		err = c.join(ctx, o.Join)
	case o.Raw != nil:
		err = c.connectRaw(ctx, *o.Raw)
	case o.Reset:
		c.reset()
	case o.Await != "":
		err = c.await(ctx, o.Await)
	case o.Report:
		err = c.reported(ctx)
	case o.Drop:
		c.drop()
	case o.Back:
		err = c.back(ctx)
	}
	if err != nil || !o.Count && o.Await == "" && !o.Back {
		return account{}, err
	}
	return c.account(), nil
}

// join registers spokes and connects them, some at a time.
func (c *crowd) join(ctx context.Context, tickets []ticket) error {
	var mu sync.Mutex
	var joined []*scripted
	g, joining := errgroup.WithContext(ctx)
	g.SetLimit(setupWorkers)
	for _, t := range tickets {
		g.Go(func() error {
			s, err := register(joining, t)
			if err != nil {
				return fmt.Errorf("register %s: %w", t.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			joined = append(joined, s)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range joined {
		c.add(s)
	}
	return c.back(ctx)
}
