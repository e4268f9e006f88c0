package jsontext

// AppendQuote appends text as a JSON string. Only what JSON demands is
// escaped, so that reading the string gives the same bytes again, valid UTF-8
// or not.
func AppendQuote[T ~string | ~[]byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	begin := len(dst)
	dst = append(dst, text...)
	plain := pastPlain(dst, begin)
	if plain == len(dst) { // most text
		return append(dst, '"')
	}
	dst = dst[:plain]
	for i := plain - begin; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
