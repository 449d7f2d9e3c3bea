package render

import "github.com/navefleet/nave/hub/api"

// MaxMounts is the most Remotes of one render.
const MaxMounts = 64

// Mount is the artifact of a Remote, which a render reads beside its own tree.
type Mount struct {
	api.Remote
	Root string `json:"root"` // the artifact's directory
}

// Need is a Remote that a render cannot do without. Refusal is the error if it is not fetched.
type Need struct {
	api.Remote
	Refusal string `json:"refusal"`
}
