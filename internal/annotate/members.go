package annotate

// The members that contain a severity, in the order of their priority: a logger's
// level, then numbers, then names that also have other meanings.
const (
	byLevel = iota
	bySeverity
	byLogLevel // log.level, of ECS
	byLevelName
	byLvl
	byCapitalLevel
	bySeverityText
	byOther
	byAzure  // Application Insights' severityLevel
	byNested // log.level in two objects, record.level.name of loguru, _meta of tslog
	byNumber // level, as a number
	byOTel
	byPython
	ranks

	// Members with another meaning.
	isStatus = iota
	isMessage
	isID       // request id of Lambda's own JSON format
	isLambdas  // other members of Lambda's own JSON format
	isStamp    // timestamp
	isLogger   // Python, in Lambda's own format
	isLog      // an object with a level
	isMeta     // an object with logLevelName
	isRecord   // loguru's
	isNested   // an object that may have an id
	isTime     // of pino and bunyan
	isMsg      // the same
	isShort    // GELF's short_message
	isCompact  // @t of Serilog's compact format, which omits the level of information
	isTemplate // @m or @mt of the same
	isUnknown  // may be an id
)

// kindOf returns the kind of a member by its name.
func kindOf(name []byte) int {
	switch string(name) {
	case "level":
		return byLevel
	case "severity":
		return bySeverity
	case "log.level":
		return byLogLevel
	case "levelname", "level_name", "levelName":
		return byLevelName
	case "lvl":
		return byLvl
	case "Level":
		return byCapitalLevel
	case "severity_text", "SeverityText", "severityText":
		return bySeverityText
	case "@level", "@l", "LogLevel", "logLevel", "log_level", "loglevel", "_logLevel", "L", "Severity", "priorityName":
		return byOther
	case "severityLevel":
		return byAzure
	case "severityNumber", "SeverityNumber", "severity_number":
		return byOTel
	case "levelno", "level_number":
		return byPython
	case "status":
		return isStatus
	case "message":
		return isMessage
	case "requestId", "AWSRequestId":
		return isID
	case "traceId", "tenantId", "executionArn", "errorType", "errorMessage", "stackTrace", "location":
		return isLambdas
	case "timestamp":
		return isStamp
	case "logger", "loggerName":
		return isLogger
	case "log":
		return isLog
	case "_meta":
		return isMeta
	case "record":
		return isRecord
	case "span", "spans", "context", "ctx", "lambda_context", "lambdaContext", "lambda", "extra", "fields", "mdc", "contextMap", "Properties", "State", "Scopes", "labels", "attributes", "faas", "aws":
		return isNested
	case "time":
		return isTime
	case "msg":
		return isMsg
	case "short_message":
		return isShort
	case "@t":
		return isCompact
	case "@m", "@mt":
		return isTemplate
	}
	return isUnknown
}
