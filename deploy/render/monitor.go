package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) monitors(c *appmodel.Component) {}
