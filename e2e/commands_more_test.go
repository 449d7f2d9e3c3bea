package e2e_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/identity"
)

// moreCommands are further words of stories.
var moreCommands = map[string]command{
	"sign":        sign,          // sign REPOSITORY NAME: further commits are signed with a new key; writes NAME.pub
	"save":        save,          // save CLUSTER KIND [NAMESPACE/]NAME PATH VARIABLE: what is at a JSONPath
	"certificate": certificate,   // certificate CLUSTER VARIABLE: when the spoke's certificate, as kept in its cluster, ends
	"later":       later,         // later DURATION VARIABLE: the time in that long
	"past":        past,          // past TIME: it is over
	"denied":      denied,        // denied CLUSTER FILE: an admission policy refuses what is in the file
	"status":      editStatus,    // status CLUSTER KIND [NAMESPACE/]NAME MERGE-PATCH: what its controller says of it
	"kubeconfig":  kubeconfig,    // kubeconfig CLUSTER VARIABLE: the path of an administrator's
	"bucket":      bucketCommand, // bucket FOLDER: its files are in the bucket of its name; sets $s3_host
	"scale":       scale,         // scale CLUSTER KIND [NAMESPACE/]NAME REPLICAS: as kubectl scale and autoscalers do
}

// save keeps the text at a JSONPath in a variable.
func save(ctx context.Context, s *story, args []string) error {
	t, rest, err := readTarget(args)
	if err != nil {
		return err
	}
	if len(rest) != 2 {
		return errors.New("save CLUSTER KIND [NAMESPACE/]NAME PATH VARIABLE")
	}
	o, err := t.get(ctx)
	if err != nil {
		return err
	}
	value, err := field(o, rest[0])
	if err == nil && value == "" {
		err = fmt.Errorf("%s has nothing at %s", t, rest[0])
	}
	s.ts.Setenv(rest[1], value)
	return err
}

// kubeconfig keeps the path of a cluster's kubeconfig in a variable.
func kubeconfig(_ context.Context, s *story, args []string) error {
	if len(args) != 2 {
		return errors.New("kubeconfig CLUSTER VARIABLE")
	}
	c, err := clusterOf(args[0])
	if err == nil {
		s.ts.Setenv(args[1], c.Kubeconfig)
	}
	return err
}

// denied wants an admission policy to refuse a file. A policy is in force some time after it was created, not at once.
func denied(ctx context.Context, s *story, args []string) error {
	if len(args) != 2 {
		return errors.New("denied CLUSTER FILE")
	}
	c, b, err := s.clusterFile(args)
	if err != nil {
		return err
	}
	switch err := c.DryRun(ctx, b); {
	case err == nil:
		return fmt.Errorf("%s is let through", args[1])
	case !strings.Contains(err.Error(), "denied request"):
		return err
	}
	return nil
}

// editStatus writes the status of an object.
func editStatus(ctx context.Context, _ *story, args []string) error {
	t, patch, err := readTarget(args)
	if err != nil {
		return err
	}
	return t.cluster.EditStatus(ctx, t.kind, t.namespace, t.name, strings.Join(patch, " "))
}

// scale sets replicas by the scale subresource.
func scale(ctx context.Context, _ *story, args []string) error {
	t, rest, err := readTarget(args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return errors.New("scale CLUSTER KIND [NAMESPACE/]NAME REPLICAS")
	}
	replicas, err := strconv.Atoi(rest[0])
	if err != nil {
		return err
	}
	return t.cluster.Scale(ctx, t.kind, t.namespace, t.name, replicas)
}

// certificate reads the end of a spoke's certificate out of the Secret that the spoke keeps it in.
func certificate(ctx context.Context, s *story, args []string) error {
	if len(args) != 2 {
		return errors.New("certificate CLUSTER VARIABLE")
	}
	c, err := clusterOf(args[0])
	if err != nil {
		return err
	}
	secret, err := target{cluster: c, kind: "Secret", namespace: ours, name: "nave-spoke-identity"}.get(ctx)
	if err != nil {
		return err
	}
	encoded, _ := secret.Object["data"].(map[string]any)["tls.crt"].(string)
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	chain, err := identity.ParseCertificates(text)
	if err != nil {
		return err
	}
	s.ts.Setenv(args[1], chain[0].NotAfter.Format(time.RFC3339Nano))
	return nil
}

// later keeps a time to come in a variable, for past.
func later(_ context.Context, s *story, args []string) error {
	if len(args) != 2 {
		return errors.New("later DURATION VARIABLE")
	}
	d, err := time.ParseDuration(args[0])
	s.ts.Setenv(args[1], time.Now().Add(d).Format(time.RFC3339Nano))
	return err
}

func past(_ context.Context, _ *story, args []string) error {
	if len(args) != 1 {
		return errors.New("past TIME")
	}
	end, err := time.Parse(time.RFC3339Nano, args[0])
	if err == nil && time.Now().Before(end) {
		err = fmt.Errorf("%s is still to come", args[0])
	}
	return err
}
