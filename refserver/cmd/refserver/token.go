package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/storage/seal"
)

// makeToken makes a bearer token without a login: for the first operator, and
// for programs.
func makeToken(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := &config{}
	f := c.flags("refserver token", stderr)
	var subject appspan.Subject
	var groups list
	f.StringVar(&subject.ID, "subject", "", "`ID` of who the token is for; required. To be an operator, the server has it in -operators")
	f.StringVar(&subject.Team, "team", "", "`team` that the token acts for, and no other")
	f.Var(&groups, "groups", "`groups` of the subject")
	life := f.Duration("life", 0, "for how long it is good; default 90 days, at most 366")
	description := f.String("description", "", "`text` for people")
	f.Usage = func() {
		fmt.Fprint(stderr, "refserver token -subject ID prints a bearer token. It works on what -data or -hub and\n-config name, as the server does; a server that has -data open has to be stopped\nmeanwhile, or asked at POST /api/v1/tokens.\n\n")
		for _, name := range []string{"subject", "team", "groups", "life", "description", "data", "hub", "hub-context", "hub-namespace", "config"} {
			fl := f.Lookup(name)
			fmt.Fprintf(stderr, "  -%s\n    \t%s\n", fl.Name, fl.Usage)
		}
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || subject.ID == "" {
		return errors.New("token: give -subject ID, whose token it is")
	}
	if c.config != "" {
		if err := fromFile(f, c.config); err != nil {
			return err
		}
	}
	subject.Groups = groups
	records, _, err := c.records()
	if err != nil {
		return err
	}
	made, err := refserver.NewTokens(records).Create(ctx, subject, *description, *life)
	if err = errors.Join(err, records.Close()); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "for %s, good until %s; it is shown this once:\n", made.Subject, made.Expires.Format(time.RFC3339))
	fmt.Fprintln(stdout, made.Text)
	return nil
}

// makeKeys makes a key file, for -keys.
func makeKeys(args []string, stdout io.Writer) error {
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		return errors.New("keys: give the path of the file to make: refserver keys appspan.key")
	}
	if _, err := seal.CreateKeyFile(args[0]); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s is made. Keep a copy apart from the data: without it, what is sealed is lost.\n", args[0])
	return nil
}
