package render

func (b *builder) patches() {}
