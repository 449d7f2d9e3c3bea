package store

import (
	"os"
	"strings"
	"testing"
)

// TablesOfClusters returns the names of the tables that are declared with rows of clusters.
func TablesOfClusters() (names []string) {
	for _, t := range tables {
		if t.of != ofHub {
			names = append(names, t.name)
		}
	}
	return names
}

// PutOfCluster writes a row of a cluster to each of TablesOfClusters.
func PutOfCluster(tx *Tx, cluster string) error {
	for _, t := range tables {
		key := cluster
		switch t.of {
		case ofHub:
			continue
		case ofGraph:
			key = OfCluster(cluster) + "Kustomization/apps/web"
		}
		if err := tx.write(t, key, []byte("{}")); err != nil {
			return err
		}
	}
	return nil
}

// TestTables: every bucket has a name of its own, and doc.go shows its keys.
func TestTables(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range names() {
		if seen[name] {
			t.Errorf("%s: two tables have this name", name)
		}
		seen[name] = true
		if !strings.Contains(string(doc), "\n//\t"+name+" ") {
			t.Errorf("%s: doc.go does not show its keys", name)
		}
	}
}
