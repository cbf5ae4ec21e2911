package appmodel

import "reflect"

// Clone returns a copy that shares no memory with a; the clone of nil is nil.
func Clone(a *Application) *Application {
	if a == nil {
		return nil
	}
	c := deepCopy(reflect.ValueOf(a))
	return c.Interface().(*Application)
}

// deepCopy copies what v reaches. Structs with unexported fields (Sensitive)
// are immutable values and copied as such.
func deepCopy(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(deepCopy(v.Elem()))
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		if reaches(v.Type().Elem()) {
			for i := range v.Len() {
				c.Index(i).Set(deepCopy(v.Index(i)))
			}
		}
		return c
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), deepCopy(it.Value()))
		}
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for i := range v.NumField() {
			f := c.Field(i)
			if reaches(f.Type()) && f.CanSet() && !f.IsZero() {
				f.Set(deepCopy(v.Field(i)))
			}
		}
		return c
	}
	return v
}

// reaches reports whether a value of the type can hold memory to be copied.
func reaches(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Struct:
		return true
	}
	return false
}
