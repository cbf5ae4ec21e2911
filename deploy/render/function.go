package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) function(c *appmodel.Component) bool { return false }
