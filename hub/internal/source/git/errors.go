package git

import "errors"

// What can be wrong with a fetch. Each error that Fetch returns is one of these (errors.Is), or a context's error.
var (
	ErrRequest            = errors.New("the source's settings cannot work")
	ErrAuthentication     = errors.New("authentication failed")
	ErrHostKey            = errors.New("the server is not the one that is trusted")
	ErrRepositoryNotFound = errors.New("repository not found")
	ErrReferenceNotFound  = errors.New("reference not found")
	ErrUnreachable        = errors.New("the server cannot be reached")
	ErrProtocol           = errors.New("the server's answer is not Git's")
	ErrLimit              = errors.New("over the limit")
	ErrTree               = errors.New("the tree is refused")
	ErrStorage            = errors.New("the hub's disk failed")
)
