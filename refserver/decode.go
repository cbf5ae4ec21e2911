package refserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

// input says how a request becomes the fields of a struct.
type input struct {
	params   []param
	body     int // index of the field Body, or -1
	bodyType reflect.Type
	raw      bool // the body is taken as it is
}

// param is one field.
type param struct {
	index    []int
	name, in string // in: "path", "query", "header"
	typ      reflect.Type
	required bool
	doc      string
}

// maxParam bounds one parameter, in bytes.
const (
	maxParam  = 4096
	maxValues = 256 // of one that is given several times
)

// inputOf reads the tags of a struct; what does not fit is a mistake of the
// program.
func inputOf(t reflect.Type) *input {
	in := &input{body: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			inner := inputOf(f.Type)
			for _, p := range inner.params {
				p.index = append([]int{i}, p.index...)
				in.params = append(in.params, p)
			}
			continue
		}
		if f.Name == "Body" {
			in.body, in.bodyType, in.raw = i, f.Type, f.Type == reflect.TypeFor[[]byte]()
			continue
		}
		for _, where := range []string{"path", "query", "header"} {
			if name, ok := f.Tag.Lookup(where); ok {
				in.params = append(in.params, param{index: []int{i}, name: name, in: where, typ: f.Type, required: where == "path", doc: f.Tag.Get("doc")})
			}
		}
	}
	return in
}

// decode fills in v from the request. Parameters that the operation does not
// have are refused: a misspelt one would be passed over in silence.
func (in *input) decode(c *call, v reflect.Value) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	query := c.query
	known := map[string]bool{"team": true}
	for _, p := range in.params {
		var values []string
		switch p.in {
		case "path":
			values = []string{c.r.PathValue(p.name)}
		case "query":
			known[p.name] = true
			values = query[p.name]
		case "header":
			values = c.r.Header.Values(p.name)
		}
		for _, value := range values {
			if len(value) > maxParam {
				return wrong("%s has more than %d bytes", p.name, maxParam)
			}
		}
		if err := set(v.FieldByIndex(p.index), values); err != nil {
			return wrong("%s %s: %v", p.in, p.name, err)
		}
	}
	for name := range query {
		if !known[name] {
			return wrong("there is no parameter %q here", cutText(name, 100))
		}
	}
	if in.body < 0 {
		return nil
	}
	data, err := io.ReadAll(c.r.Body)
	if err == nil { // what follows may take longer
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Errorf("%w: at most %d bytes are read", errTooLarge, tooLarge.Limit)
	case err != nil:
		return wrong("the body cannot be read: %v", err)
	}
	if in.raw {
		v.Field(in.body).SetBytes(data)
		return nil
	}
	if len(data) == 0 && c.r.Header.Get("Content-Type") == "" {
		data = []byte("{}")
	} else if media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return fmt.Errorf("%w: send application/json", errUnsupportedMedia)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v.Field(in.body).Addr().Interface()); err != nil {
		if errors.Is(err, appspan.ErrInvalid) {
			return err
		}
		return wrong("the body: %v", strings.TrimPrefix(err.Error(), "json: "))
	}
	if dec.More() {
		return wrong("the body has something behind its JSON value")
	}
	return nil
}

// set gives a field its value.
func set(v reflect.Value, values []string) error {
	if v.Kind() == reflect.Slice {
		if len(values) > maxValues {
			return fmt.Errorf("it is given more than %d times", maxValues)
		}
		for _, value := range values {
			v.Set(reflect.Append(v, reflect.ValueOf(value).Convert(v.Type().Elem())))
		}
		return nil
	}
	if len(values) == 0 || values[0] == "" {
		return nil
	}
	if len(values) > 1 {
		return errors.New("it is given more than once")
	}
	text := values[0]
	switch v.Interface().(type) {
	case time.Time:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return errors.New("give a time as RFC 3339: 2006-01-02T15:04:05Z")
		}
		v.Set(reflect.ValueOf(t))
		return nil
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("give a duration like 90s or 24h")
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("give true or false")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return errors.New("give a whole number")
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("no parameter can be a %v", v.Type())
	}
	return nil
}

func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
