package appmodel

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/appspan-dev/appspan"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Duration is a time span, written as Go and Kubernetes do: 90s, 1h30m.
type Duration time.Duration

// String is the shortest spelling: "1h30m", not "1h30m0s".
func (d Duration) String() string {
	v := time.Duration(d)
	if v == 0 {
		return "0s"
	}
	s := v.String()
	if n := len(s); n > 2 && s[n-2:] == "0s" && s[n-3] == 'm' {
		s = s[:n-2]
	}
	if n := len(s); n > 2 && s[n-2:] == "0m" && s[n-3] == 'h' {
		s = s[:n-2]
	}
	return s
}

// MarshalText writes the shortest spelling.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads, not negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		if _, numErr := strconv.ParseFloat(string(text), 64); numErr == nil {
			return fmt.Errorf("%w: %q has no unit; write %ss", appspan.ErrInvalid, text, text)
		}
		return fmt.Errorf("%w: %q is no duration; write for example 90s or 1h30m", appspan.ErrInvalid, text)
	}
	if v < 0 {
		return fmt.Errorf("%w: duration %q is negative", appspan.ErrInvalid, text)
	}
	*d = Duration(v)
	return nil
}

// Quantity is an amount as Kubernetes writes it: 250m, 20Gi. It keeps the
// author's spelling; [Quantity.Canonical] normalises it.
type Quantity string

// Parse reads the quantity with the parser of apimachinery.
func (q Quantity) Parse() (resource.Quantity, error) {
	v, err := resource.ParseQuantity(string(q))
	if err != nil {
		return v, fmt.Errorf("%w: %q is no quantity; write for example 250m, 512Mi or 20Gi", appspan.ErrInvalid, string(q))
	}
	return v, nil
}

// Canonical is the normal spelling, or q itself when it does not parse.
func (q Quantity) Canonical() Quantity {
	v, err := q.Parse()
	if err != nil {
		return q
	}
	return Quantity(v.String())
}

// UnmarshalJSON reads a string or a number.
func (q *Quantity) UnmarshalJSON(data []byte) error {
	s, err := stringOrNumber(data)
	*q = Quantity(s)
	return err
}

// PortRef refers to a port by name or number.
type PortRef string

// PortNumber is a reference by number.
func PortNumber(n int) PortRef { return PortRef(strconv.Itoa(n)) }

// Number is the number, if the reference is by number.
func (p PortRef) Number() (int, bool) {
	n, err := strconv.Atoi(string(p))
	return n, err == nil
}

// MarshalJSON writes a number as a number.
func (p PortRef) MarshalJSON() ([]byte, error) { return marshalIntLike(string(p)) }

// UnmarshalJSON reads a string or a number.
func (p *PortRef) UnmarshalJSON(data []byte) error {
	s, err := stringOrNumber(data)
	*p = PortRef(s)
	return err
}

// IntOrPercent is a whole number or a percentage: 1, 25%. Empty is unset.
type IntOrPercent string

// MarshalJSON writes a number as a number.
func (v IntOrPercent) MarshalJSON() ([]byte, error) { return marshalIntLike(string(v)) }

// UnmarshalJSON reads a string or a number.
func (v *IntOrPercent) UnmarshalJSON(data []byte) error {
	s, err := stringOrNumber(data)
	*v = IntOrPercent(s)
	return err
}

func marshalIntLike(s string) ([]byte, error) {
	if n, err := strconv.Atoi(s); err == nil && strconv.Itoa(n) == s {
		return []byte(s), nil
	}
	return json.Marshal(s)
}

func stringOrNumber(data []byte) (string, error) {
	var s string
	if json.Unmarshal(data, &s) == nil {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return "", fmt.Errorf("%w: %s is neither a string nor a number", appspan.ErrInvalid, data)
	}
	return n.String(), nil
}

// JSON is any JSON value, kept as it was written. Nil is absent.
type JSON json.RawMessage

// MarshalJSON returns the value, null when absent.
func (j JSON) MarshalJSON() ([]byte, error) {
	if len(j) == 0 {
		return []byte("null"), nil
	}
	return j, nil
}

// UnmarshalJSON keeps a copy of the value.
func (j *JSON) UnmarshalJSON(data []byte) error {
	*j = append(JSON(nil), data...)
	return nil
}

// String is the value as text.
func (j JSON) String() string { return string(j) }

// Redacted is what stands for a secret value in JSON, diffs and messages.
const Redacted = "(redacted)"

// Sensitive is a secret value. Every way of printing or encoding it writes
// [Redacted]; [Sensitive.Reveal] gives it away. The zero value is absent.
type Sensitive struct{ value *string }

// NewSensitive wraps a secret value; an empty one is a value too.
func NewSensitive(value string) Sensitive { return Sensitive{value: &value} }

// Reveal returns the secret value.
func (s Sensitive) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Sensitive) IsZero() bool { return s.value == nil }

// Equal compares the values.
func (s Sensitive) Equal(o Sensitive) bool {
	return s.IsZero() == o.IsZero() && s.Reveal() == o.Reveal()
}

// String returns [Redacted].
func (s Sensitive) String() string { return Redacted }

// GoString returns [Redacted].
func (s Sensitive) GoString() string { return Redacted }

// MarshalJSON writes [Redacted].
func (s Sensitive) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// UnmarshalJSON reads the value itself.
func (s *Sensitive) UnmarshalJSON(data []byte) error {
	var v string
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("%w: a secret value is a string", appspan.ErrInvalid)
	}
	*s = NewSensitive(v)
	return nil
}
