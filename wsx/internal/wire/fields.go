package wire

// A field says where a message keeps the value of a JSON field: in its data, in a string or
// in a number. The zero value is a field that is not used.
type field struct {
	data   bool
	epoch  bool // text is a time, which the JSON has as seconds since the epoch
	text   func(*Message) *string
	number func(*Message) *int64
}

// fieldByName returns the field with a name. It reports false if the name is not known but
// encoding/json might match it, ignoring case.
func fieldByName(name []byte) (field, bool) {
	f := field{data: string(name) == "data", text: textAccessor(name), number: numberAccessor(name)}
	return f, f.data || f.text != nil || f.number != nil || canonicalName(name)
}

// fetchedFieldByName is fieldByName for a message that was fetched. Such a message has its
// times under other names, as seconds since the epoch.
func fetchedFieldByName(name []byte) (field, bool) {
	switch string(name) {
	case "pub_time", "ext_pub_time", "expiration_time":
		return field{epoch: true, text: textAccessor([]byte(string(name) + "_iso"))}, true
	case "pub_time_iso", "ext_pub_time_iso", "expiration_time_iso":
		return field{}, false // no server sends them here; they would compete with those above
	}
	return fieldByName(name)
}

// clear sets a string or number field of m to its zero value.
func (f *field) clear(m *Message) {
	switch {
	case f.text != nil:
		*f.text(m) = ""
	case f.number != nil:
		*f.number(m) = 0
	}
}

// textAccessor returns a function that points to the string field with a name. It returns
// nil if there is none.
func textAccessor(name []byte) func(*Message) *string {
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

// numberAccessor returns a function that points to the number field with a name. It returns
// nil if there is none.
func numberAccessor(name []byte) func(*Message) *int64 {
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
