package appmodel

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
)

// maxFaults is how many faults are listed; the rest is counted.
const maxFaults = 200

// Severity says whether a fault forbids the document.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Fault is one thing that is wrong with a document. It never holds a secret
// value.
type Fault struct {
	// File, Line and Column say where; a line of zero is unknown. Both count
	// from one.
	File         string
	Line, Column int
	// Path names the field by keys: components[api].env[TZ].
	Path string
	// Problem says what is wrong, Next what to do about it.
	Problem, Next string
	Severity      Severity
}

// String is "shop.yaml:41:9: components[api].needs[db]: problem; next".
// Warnings begin with "warning: " behind the position.
func (f Fault) String() string {
	var b strings.Builder
	switch {
	case f.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", cmp.Or(f.File, "document"), f.Line, f.Column)
	case f.File != "":
		b.WriteString(f.File + ": ")
	}
	if f.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Problem)
	if f.Next != "" {
		b.WriteString("; " + f.Next)
	}
	return b.String()
}

// Faults are the faults of one document, by position where it is known.
type Faults []Fault

// Errors are the faults that forbid the document.
func (f Faults) Errors() Faults { return f.only(SeverityError) }

// Warnings are the faults that do not forbid the document.
func (f Faults) Warnings() Faults { return f.only(SeverityWarning) }

func (f Faults) only(s Severity) Faults {
	var out Faults
	for _, fault := range f {
		if fault.Severity == s {
			out = append(out, fault)
		}
	}
	return out
}

// Err is nil if no fault is an error, else an [*InvalidError].
func (f Faults) Err() error {
	if errs := f.Errors(); len(errs) > 0 {
		return &InvalidError{Faults: errs}
	}
	return nil
}

// InvalidError says everything that is wrong with a document. It wraps
// [appspan.ErrInvalid].
type InvalidError struct {
	Faults Faults
}

// Error lists the faults, one a line.
func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Faults))
	for _, f := range e.Faults {
		lines = append(lines, f.String())
	}
	return appspan.ErrInvalid.Error() + ": " + strings.Join(lines, "\n")
}

// Unwrap returns [appspan.ErrInvalid].
func (e *InvalidError) Unwrap() error { return appspan.ErrInvalid }

// faultList collects faults; beyond the bound it counts them only.
type faultList struct {
	faults   Faults
	overflow int
}

func (l *faultList) add(f Fault) {
	f.Severity = cmp.Or(f.Severity, SeverityError)
	if len(l.faults) >= maxFaults {
		if f.Severity == SeverityError {
			l.overflow++
		}
		return
	}
	l.faults = append(l.faults, f)
}

// sorted is the list by position, with the count of what is left out.
func (l *faultList) sorted() Faults {
	slices.SortStableFunc(l.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Problem, b.Problem))
	})
	if l.overflow > 0 {
		return append(l.faults, Fault{Problem: fmt.Sprintf("and %d more", l.overflow), Severity: SeverityError})
	}
	return l.faults
}

// problemOf takes the text of an error of this package apart.
func problemOf(err error) (problem, next string) {
	text := err.Error()
	if errors.Is(err, appspan.ErrInvalid) {
		text = strings.TrimPrefix(text, appspan.ErrInvalid.Error()+": ")
	}
	problem, next, _ = strings.Cut(text, "; ")
	return problem, next
}
