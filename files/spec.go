package files

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
)

// Names of the components.
const (
	inputName  = "file_records"
	outputName = "file_dead_letters"
)

// Names of the fields.
const (
	fieldPaths          = "paths"
	fieldMaxRecordSize  = "max_record_size"
	fieldDeadLetters    = "dead_letters"
	fieldDeleteOnFinish = "delete_on_finish"
	fieldPollInterval   = "poll_interval"
	fieldReason         = "reason"
)

const defaultMaxRecordSize = 1 << 20

func inputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Local").
		Summary("Reads files record by record. Records that cannot be read are set aside unchanged, and none is skipped.").
		Description(`
The name of a file says what its records are, in lower or upper case:

- `+"`.csv`"+`: each row is a record, a JSON object whose keys come from the first row.
- `+"`.json`"+`: each JSON document is a record, without the white space around its values. Numbers keep their digits.
- any other: each line is a record, without its line ending. Lines with white space only are skipped.

Files whose names also end in `+"`.gz`"+` or `+"`.bz2`"+` are decompressed. A byte order mark at the beginning of a file
is removed.

Records that cannot be read go to the file `+"`messages.jsonl`"+` in the folder `+"`dead_letters`"+`, and so do
records that reach a `+"`file_dead_letters`"+` output. If the name is taken, the file gets another name that ends in the
same way. Each record is a JSON object on one line:

- `+"`time`"+`: when the record was set aside
- `+"`file`"+`: the path of its file
- `+"`line`, `offset`"+`: where it begins in the decompressed file, from 1 and from 0
- `+"`reason`"+`: why it was set aside
- `+"`content`"+`: all its bytes, with the line ending; `+"`content_base64`"+` if they are not UTF-8 or too many

A file that cannot be read to its end is an error that names the file. Examples are archives that are damaged or cut
off, a first row that is no list of different names, files in UTF-16, and files to which another program writes.

If an input without `+"`poll_interval`"+` ends after it has set records aside, or has not read all files to their
end, the command `+"`run`"+` prints the numbers, and its exit status is 1.

Folders, pipes and devices are read only if `+"`paths`"+` names them without a wildcard. Symbolic links are followed. A
file that is found under several paths is read once. Files in the folder `+"`dead_letters`"+` match no wildcard.

Records that the pipeline rejects are read again after 10 ms to one second, without limit.

== Metadata

This input adds these metadata fields to each message:

`+"```text"+`
- path: of the file
- line: where the record begins, from 1
`+"```").
		Fields(
			service.NewStringListField(fieldPaths).
				Description("The files to read, one after the other. Wildcards are supported, including `**`.").
				Example([]string{"./orders/*.csv", "./orders/*.csv.gz"}),
			service.NewIntField(fieldMaxRecordSize).
				Description("The size of the longest record in bytes, without its line ending. A longer one is set aside. A few "+
					"times this size is needed in memory.").
				Default(defaultMaxRecordSize).LintRule(config.LintPositive),
			service.NewStringField(fieldDeadLetters).
				Description("The folder for what cannot be read or delivered. It is created if it does not exist."),
			service.NewBoolField(fieldDeleteOnFinish).
				Description("Whether to delete a file once all its records are delivered or set aside. A file that another one "+
					"has replaced, or that was changed while it was read, is not deleted, but read again. A file that "+
					"cannot be read to its end is first copied to the folder `dead_letters`. Of a symbolic link, only the link "+
					"is deleted.").
				Default(false),
			service.NewDurationField(fieldPollInterval).
				Description("If set, the input does not end with the last file, but looks for new and changed files after this "+
					"time. It reads a file that it has found twice in the same state. Write each file under a name that "+
					"`paths` does not match, and rename it when it is complete.").
				Optional().LintRule(config.LintDuration),
		)
}

func outputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Local").
		Summary("Sets aside records that cannot be delivered, as they are in the files that `file_records` has read.").
		Description(`
The record goes to the folder ` + "`dead_letters`" + ` of the input that has read it. Messages that do not come from a
` + "`file_records`" + ` input are rejected.`).
		Fields(
			service.NewInterpolatedStringField(fieldReason).
				Description("Why the record cannot be delivered.").
				Default("${! @fallback_error.or(error()) }"),
		)
}

func parse(conf *service.ParsedConfig) (s settings, deadLetters string, err error) {
	if s.paths, err = conf.FieldStringList(fieldPaths); err != nil {
		return s, "", err
	}
	if s.maxRecordSize, err = config.ParsePositive(conf, fieldMaxRecordSize); err != nil {
		return s, "", err
	}
	if s.deleteOnFinish, err = conf.FieldBool(fieldDeleteOnFinish); err != nil {
		return s, "", err
	}
	if conf.Contains(fieldPollInterval) {
		if s.pollInterval, err = config.ParseDuration(conf, fieldPollInterval); err != nil {
			return s, "", err
		}
	}
	deadLetters, err = conf.FieldString(fieldDeadLetters)
	return s, deadLetters, err
}
