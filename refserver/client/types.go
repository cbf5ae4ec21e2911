package client

import (
	"time"

	"github.com/appspan-dev/appspan"
)

// List is one page of a list.
type List[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the next page, empty on the last one.
	Next string `json:"next,omitempty"`
	// Unreachable are the clusters about which the list says nothing new.
	Unreachable []Unreachable `json:"unreachable,omitempty"`
}

// Unreachable is a cluster that did not answer.
type Unreachable struct {
	Cluster string `json:"cluster"`
	// Since is when it last answered, absent if it never did.
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Me is who the server thinks that the client is.
type Me struct {
	Subject appspan.Subject `json:"subject"`
	// Method is how they logged in: "token", "session", "header", "local".
	Method string `json:"method"`
	// Operator: they may do everything.
	Operator bool `json:"operator"`
	// Teams are those that they are members of, with their roles.
	Teams []Membership `json:"teams,omitempty"`
	// Version is the server's.
	Version string `json:"version"`
}

// Membership is a team and somebody's role in it.
type Membership struct {
	Team        string   `json:"team"`
	DisplayName string   `json:"displayName,omitempty"`
	Role        string   `json:"role"`
	Permissions []string `json:"permissions,omitempty"`
}

// Token is a bearer token without its text.
type Token struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	// Team is the one that it acts for, empty for any.
	Team        string    `json:"team,omitempty"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
}

// NewToken is a token that was just made, with its text, which is shown once.
type NewToken struct {
	Token
	Text string `json:"token"`
}

// Resync says that events were lost: read everything again.
type Resync struct {
	Reason string `json:"reason"`
}

// CreateToken is what a token is to be.
type CreateToken struct {
	// Team is the only one that it may act for; empty: any of the subject's.
	Team        string `json:"team,omitempty"`
	Description string `json:"description,omitempty"`
	// Seconds is its life; zero is 90 days.
	Seconds int64 `json:"seconds,omitempty"`
}

// Login is a bearer token that a browser changes into a session.
type Login struct {
	Token string `json:"token"`
}

// ExecEnd is how a command ended, the last message of an exec.
type ExecEnd struct {
	// Status is the command's exit status.
	Status int `json:"status"`
	// Problem is why the command could not be run, or its end not be seen.
	Problem *Problem `json:"problem,omitempty"`
}

// LoginPage is a way to log in with a browser. Path is where it begins; with the
// query parameter to, a path of the server, that is where one comes out.
type LoginPage struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Path  string `json:"path"`
}
