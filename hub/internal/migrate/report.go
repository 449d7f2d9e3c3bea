package migrate

// Report says what becomes of a cluster when Nave takes it over. All lists are sorted; objects are in the form
// "Kind namespace/name".
type Report struct {
	Cluster        string          `json:"cluster"`
	Controllers    []Controller    `json:"controllers"`
	Kustomizations []Kustomization `json:"kustomizations"`
	// Refused are the objects that the hub would not render, or not completely, and why.
	Refused []Refusal `json:"refused,omitempty"`
	// RemoteBases are the remote bases of kustomization files, which the hub fetches from hosts that its operator names.
	RemoteBases []RemoteBase `json:"remoteBases,omitempty"`
	// OtherSources are the sources in other repositories that no folder stands for, so that nothing was compared.
	OtherSources []OtherSource `json:"otherSources,omitempty"`
	// NotInGit are objects of Flux that nothing in Git gives.
	NotInGit []string `json:"notInGit,omitempty"`
	// PassedThrough are the objects of kinds that stay with Flux's controllers, by Kind.group.
	PassedThrough map[string][]string `json:"passedThrough,omitempty"`
	// RefusedReleases are the HelmReleases that the hub would refuse if they were not passed through.
	RefusedReleases []Refusal `json:"refusedReleases,omitempty"`
	Secrets         []Secret  `json:"secrets,omitempty"`
	Keys            []Key     `json:"decryptionKeys,omitempty"`
	// Folded are the texts that Flux has with one more line break than Git says.
	Folded  []Folded `json:"folded,omitempty"`
	Notices []string `json:"notices,omitempty"`
	Steps   []Step   `json:"steps"`
}

// Kustomization is what becomes of one Kustomization of Flux.
type Kustomization struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Path      string `json:"path,omitempty"`
	Source    string `json:"source"`
	Suspended bool   `json:"suspended,omitempty"`
	Ready     string `json:"ready"` // status of Flux's condition Ready; Unknown if there is none
	Message   string `json:"message,omitempty"`
	Revision  string `json:"revision,omitempty"` // that Flux applied last
	// InCluster reports whether Flux has the Kustomization; Rendered whether the hub would render it.
	InCluster bool `json:"inCluster"`
	Rendered  bool `json:"rendered"`
	// TakenOver are the objects that Flux applied and Git has. New are those of Git that Flux has not applied. Left are
	// those that Flux applied and Git does not have any more; only of a rendered Kustomization.
	TakenOver []string `json:"takenOver,omitempty"`
	New       []string `json:"new,omitempty"`
	Left      []string `json:"left,omitempty"`
	// Flux is the number of Flux's own components in the inventory, and Graph that of its sources and Kustomizations.
	Flux  int `json:"fluxComponents,omitempty"`
	Graph int `json:"graph,omitempty"`
}

// Refusal is one object that the hub would not render, or not completely.
type Refusal struct {
	Object  string `json:"object"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// RemoteBase is a directory of a repository, or a file, that kustomization files name by a URL.
type RemoteBase struct {
	Address        string   `json:"address"` // as --local-bases takes it
	Host           string   `json:"host"`    // for the hub's flag --remote-base-host
	File           bool     `json:"file,omitempty"`
	Kustomizations []string `json:"kustomizations"`
	// Tenant reports that one of the Kustomizations runs with a service account: the hub needs --tenant-remote-bases, too.
	Tenant bool `json:"tenant,omitempty"`
	// NotCompared reports that the base has no folder, so that the Kustomizations were not rendered.
	NotCompared bool `json:"notCompared,omitempty"`
}

// OtherSource is a source in another repository.
type OtherSource struct {
	Source         string   `json:"source"` // Kind/namespace/name, as --local-sources takes it
	URL            string   `json:"url"`
	Kustomizations []string `json:"kustomizations"` // that were not compared
}

// Secret is a Secret that the hub needs to fetch a source.
type Secret struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Entries   string   `json:"entries"` // the entries that the source looks for
	For       []string `json:"for"`     // the fields that name the Secret
	// Bound reports that a tree of the cluster gives the source: the Secret must be bound to host and namespace.
	Bound bool `json:"bound,omitempty"`
}

// Key is the Secret with the keys that a Kustomization's encrypted files need.
type Key struct {
	Secret         string   `json:"secret"` // namespace/name; empty: spec.decryption names none
	Recipients     []string `json:"recipients"`
	Kustomizations []string `json:"kustomizations"`
	Files          []string `json:"files"`
}

// Folded is a text in a file.
type Folded struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Object string `json:"object"`
}

// Step is one step of the migration.
type Step struct {
	Title    string   `json:"title"`
	Commands []string `json:"commands,omitempty"`
}

// OK reports whether all of Git can be taken over, and nothing is left behind or was not compared.
func (r *Report) OK() bool {
	for _, k := range r.Kustomizations {
		if len(k.Left) > 0 {
			return false
		}
	}
	for _, b := range r.RemoteBases {
		if b.NotCompared {
			return false
		}
	}
	if len(r.OtherSources) > 0 {
		return false
	}
	return len(r.Refused) == 0 && len(r.NotInGit) == 0
}
