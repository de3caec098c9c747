package wire

// field is a field of a message: its data, a text or a number, or one that nobody asks
// for.
type field struct {
	data   bool
	text   func(*Message) *string
	number func(*Message) *int64
}

// fieldOf returns the field of a name, and false where encoding/json might know it, which
// does not look at the case of letters.
func fieldOf(name []byte) (field, bool) {
	f := field{data: string(name) == "data", text: textField(name), number: numberField(name)}
	return f, f.data || f.text != nil || f.number != nil || unknownField(name)
}

// clear takes the value of the field out of a message.
func (f *field) clear(m *Message) {
	switch {
	case f.text != nil:
		*f.text(m) = ""
	case f.number != nil:
		*f.number(m) = 0
	}
}

// textField returns the text of a name in a message, nil where there is none.
func textField(name []byte) func(*Message) *string {
	switch string(name) {
	case "topic_name":
		return func(m *Message) *string { return &m.TopicName }
	case "sub_key":
		return func(m *Message) *string { return &m.SubKey }
	case "msg_id":
		return func(m *Message) *string { return &m.MsgID }
	case "correl_id":
		return func(m *Message) *string { return &m.CorrelID }
	case "in_reply_to":
		return func(m *Message) *string { return &m.InReplyTo }
	case "ext_client_id":
		return func(m *Message) *string { return &m.ExtClientID }
	case "group_id":
		return func(m *Message) *string { return &m.GroupID }
	case "mime_type":
		return func(m *Message) *string { return &m.MimeType }
	case "pub_time_iso":
		return func(m *Message) *string { return &m.PubTime }
	case "ext_pub_time_iso":
		return func(m *Message) *string { return &m.ExtPubTime }
	case "expiration_time_iso":
		return func(m *Message) *string { return &m.ExpirationTime }
	case "recv_time_iso":
		return func(m *Message) *string { return &m.RecvTime }
	}
	return nil
}

// numberField returns the number of a name in a message, nil where there is none.
func numberField(name []byte) func(*Message) *int64 {
	switch string(name) {
	case "position_in_group":
		return func(m *Message) *int64 { return &m.PositionInGroup }
	case "priority":
		return func(m *Message) *int64 { return &m.Priority }
	case "expiration":
		return func(m *Message) *int64 { return &m.Expiration }
	case "size":
		return func(m *Message) *int64 { return &m.Size }
	case "delivery_count":
		return func(m *Message) *int64 { return &m.DeliveryCount }
	}
	return nil
}
