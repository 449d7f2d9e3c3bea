package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/shared/wording"
)

// checkOptions has the flags of "nave check".
type checkOptions struct {
	pre                     bool
	kubeconfig, kubecontext string
	outputFlags
}

const checkText = `Check that this program and the hub fit together, how long the operator's certificate is valid, that
all clusters are connected, with spokes of the hub's version and valid certificates, and that nothing has failed or is
held.

With --pre check whether a cluster can get a spoke: the version of its API server, and what the account of the
kubeconfig may do there. The hub is not asked. nave cluster add then prints what to apply.

It ends with 1 if anything is wrong. A warning is not: another version, a suspension, a pin, work in progress.`

func newCheckCommand(s *session) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check the client, the hub, the clusters and what runs there; exit with 1 if anything is wrong",
		Long:    checkText,
		Example: "  nave check\n  nave check --pre --kubeconfig ~/.kube/config --kube-context prod-1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			c := &checkup{printer: p}
			switch {
			case p.isTable() && o.noHeaders:
				return errNoTable
			case o.pre:
				c.cluster(cmd.Context(), o)
			case o.kubeconfig != "" || o.kubecontext != "":
				return usageError("--kubeconfig and --kube-context go with --pre: add --pre, or leave them out")
			default:
				c.fleet(cmd, s)
			}
			return c.end()
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.pre, "pre", false, "check whether a cluster can get a spoke, instead of the hub")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "with --pre: kubeconfig of the cluster (default $KUBECONFIG or "+
		"~/.kube/config)")
	f.StringVar(&o.kubecontext, "kube-context", "", "with --pre: context of the kubeconfig (default: the current one)")
	o.add(cmd)
	return cmd
}

// Results of a check.
const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failure"
)

// finding is the result of one check.
type finding struct {
	Check   string   `json:"check"`
	Result  string   `json:"result"`
	Message string   `json:"message"`
	Objects []string `json:"objects,omitempty"` // all that the message counts
}

// checkup makes checks and prints what it finds.
type checkup struct {
	*printer
	findings []any // of type finding
	failed   bool
}

// note adds what a check found. For people it is printed at once.
func (c *checkup) note(check, result, text string, objects ...string) {
	if len(objects) > 0 {
		text += ": " + wording.List(objects, len(objects), 5)
	}
	c.findings = append(c.findings, finding{check, result, text, objects})
	c.failed = c.failed || result == checkFailed
	if c.isTable() {
		sign := map[string]string{checkOK: "✔", checkWarning: "⚠", checkFailed: "✗"}[result]
		fmt.Fprintf(c.out, "%s %s\n", sign, oneLine(text))
	}
}

// heading prints what is checked next.
func (c *checkup) heading(text string) {
	if c.isTable() {
		fmt.Fprintln(c.out, "► "+text)
	}
}

// end prints the findings for machines, and returns errReported if anything is wrong.
func (c *checkup) end() error {
	if !c.isTable() {
		err := c.print(printout{value: map[string]any{"findings": c.findings}, items: c.findings})
		if err != nil {
			return err
		}
	}
	if c.failed {
		return errReported
	}
	return nil
}

// fleet checks the client, the hub, its clusters and its objects. If the hub does not answer, the rest is not checked.
func (c *checkup) fleet(cmd *cobra.Command, s *session) {
	ctx := cmd.Context()
	c.heading("checking the client and the hub")
	build, _ := version.Build()
	c.note("client", checkOK, "nave "+build)
	client, done, err := s.dial()
	if err != nil {
		c.note("configuration", checkFailed, message(err))
		return
	}
	defer done()
	c.certificate(s, time.Now())
	hub, err := client.GetVersion(ctx, &adminv1.GetVersionRequest{})
	if err != nil {
		c.note("hub", checkFailed, message(err))
		return
	}
	c.note("hub", checkOK, fmt.Sprintf("nave-hub %s at %s serves", hub.GetVersion(), s.operator.Hub))
	if hub.GetVersion() != build {
		c.note("versions", checkWarning, fmt.Sprintf("nave is %s and the hub is %s: use those of one version", build,
			hub.GetVersion()))
	}
	c.heading("checking the clusters")
	if err := c.clusters(ctx, client, hub.GetVersion(), time.Now()); err != nil {
		c.note("clusters", checkFailed, message(err))
		return
	}
	c.heading("checking the objects")
	if err := c.objects(ctx, client); err != nil {
		c.note("objects", checkFailed, message(err))
	}
}

// certificate checks how long the operator's certificate is valid.
func (c *checkup) certificate(s *session, now time.Time) {
	_, to, err := s.operator.Validity()
	switch {
	case err != nil:
		c.note("certificate", checkFailed, err.Error())
	case now.After(to):
		c.note("certificate", checkFailed, fmt.Sprintf("the certificate of context %s ended at %s: make another with "+
			"nave-hub operator-config", s.operator.Name, wording.Time(to)))
	case s.warning != "":
		c.note("certificate", checkWarning, s.warning)
	default:
		c.note("certificate", checkOK, fmt.Sprintf("the certificate of context %s is valid until %s", s.operator.Name,
			wording.Time(to)))
	}
}
