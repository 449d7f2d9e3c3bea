package store

import (
	"bytes"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Shape is the answer of a spoke to a question about the shape of a text. Its key is ShapeKey. Package dispatch writes
// it, package plan deletes it.
type Shape struct {
	Shape   sealed.Shape `json:"shape,omitempty"`   // empty: there is no such text, or a problem
	Problem string       `json:"problem,omitempty"` // why the spoke cannot read the text
	// Content changes with a text that only the cluster has; the hub cannot compute it.
	Content    []byte    `json:"content,omitempty"`
	AnsweredAt time.Time `json:"answeredAt"`
	By         string    `json:"by"` // the cluster
}

// ShapeKey returns the key of a cluster's answer; cluster is empty for the answer that all clusters share.
func ShapeKey(cluster string, question manifest.Digest) string {
	return OfCluster(cluster) + question.String()
}

// Same reports whether two answers are the same.
func (s Shape) Same(other Shape) bool {
	return bytes.Equal(s.Shape, other.Shape) && s.Problem == other.Problem && bytes.Equal(s.Content, other.Content)
}

// ShapeOf returns the answer to a question for a cluster. The cluster's own answer beats the shared one, so that no
// other cluster can make its applications up.
func ShapeOf(tx *Tx, cluster string, q bundle.ShapeQuestion) (Shape, bool, error) {
	return ShapeByID(tx, cluster, q.ID())
}

// ShapeByID returns the answer to the question with an ID. No answer about a live object is shared; see PutShape.
func ShapeByID(tx *Tx, cluster string, question manifest.Digest) (Shape, bool, error) {
	s, known, err := Shapes.GetIntact(tx, ShapeKey(cluster, question))
	if err != nil || known {
		return s, known, err
	}
	return Shapes.GetIntact(tx, ShapeKey("", question))
}

// PutShape writes the answer of a cluster. An answer about what an application of the bundle gives is shared, unless
// there is another one, or it is a problem, which others need not have.
func PutShape(tx *Tx, cluster string, q bundle.ShapeQuestion, s Shape) error {
	own, known, err := Shapes.GetIntact(tx, ShapeKey(cluster, q.ID()))
	if err != nil || known && own.Same(s) {
		return err
	}
	if q.IsLive() || s.Problem != "" {
		return Shapes.Put(tx, ShapeKey(cluster, q.ID()), s)
	}
	shared, isShared, err := Shapes.GetIntact(tx, ShapeKey("", q.ID()))
	if err != nil {
		return err
	}
	if isShared && !shared.Same(s) {
		return Shapes.Put(tx, ShapeKey(cluster, q.ID()), s)
	}
	if known {
		err = Shapes.Delete(tx, ShapeKey(cluster, q.ID()))
	}
	if err != nil || isShared {
		return err
	}
	return Shapes.Put(tx, ShapeKey("", q.ID()), s)
}

// ForgetShapes deletes the answers of a cluster, or those that clusters share for "", to questions that nobody asks, if
// they came before a time.
func ForgetShapes(tx *Tx, cluster string, asked map[string]bool, before time.Time) error {
	var unasked []string
	err := Shapes.ScanApart(tx, OfCluster(cluster), func(key string, s Shape) error {
		if !asked[key[len(OfCluster(cluster)):]] && !s.AnsweredAt.After(before) {
			unasked = append(unasked, key)
		}
		return nil
	}, func(key string, _ error) error {
		unasked = append(unasked, key)
		return nil
	})
	for _, key := range unasked {
		if err == nil {
			err = Shapes.Delete(tx, key)
		}
	}
	return err
}
