package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Message is a message of a topic as the server sends it. Any field may be missing or
// empty.
type Message struct {
	TopicName       string  `json:"topic_name"`
	SubKey          string  `json:"sub_key"`
	MsgID           string  `json:"msg_id"`
	CorrelID        string  `json:"correl_id"`
	InReplyTo       string  `json:"in_reply_to"`
	ExtClientID     string  `json:"ext_client_id"`
	GroupID         string  `json:"group_id"`
	PositionInGroup int64   `json:"position_in_group"`
	Data            content `json:"data"`
	MimeType        string  `json:"mime_type"`
	Priority        int64   `json:"priority"`
	Expiration      int64   `json:"expiration"`
	Size            int64   `json:"size"`
	DeliveryCount   int64   `json:"delivery_count"`
	PubTime         string  `json:"pub_time_iso"`
	ExtPubTime      string  `json:"ext_pub_time_iso"`
	ExpirationTime  string  `json:"expiration_time_iso"`
	RecvTime        string  `json:"recv_time_iso"`
}

// decodeMessagesJSON decodes the data of a frame of messages. The data is an object if one
// message was due, and an array if several were (docs/protocol.md, "Delivery").
func decodeMessagesJSON(data json.RawMessage) ([]Message, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if data[0] == '[' {
		var list []Message
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("decoding a list of messages: %w", err)
		}
		return list, nil
	}
	var one Message
	if err := json.Unmarshal(data, &one); err != nil {
		return nil, fmt.Errorf("decoding a message: %w", err)
	}
	return []Message{one}, nil
}

// content is message data in the form that Content returns.
type content []byte

// UnmarshalJSON decodes a message's data. It copies data, because encoding/json reuses it.
func (c *content) UnmarshalJSON(data []byte) (err error) {
	*c, err = Content(bytes.Clone(data))
	return err
}

// Content returns a message's data as bytes: the text itself if data is a JSON string,
// otherwise the JSON, with its numbers unchanged.
func Content(data json.RawMessage) ([]byte, error) {
	trimmed := bytes.TrimSpace(data)
	if len(trimmed) == 0 || trimmed[0] != '"' {
		return trimmed, nil
	}
	var s string
	if err := json.Unmarshal(trimmed, &s); err != nil {
		return nil, fmt.Errorf("decoding data: %w", err)
	}
	return []byte(s), nil
}
