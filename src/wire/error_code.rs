//! The words by which programs tell errors apart (contract sections 4 and 7), and what goes with each.

/// Rows as they are read: code, word, status in HTTP (RFC 9110 section 15, RFC 6585), meaning in English and in Chinese.
macro_rules! table {
    ($($(#[$about:meta])* $code:ident = $word:literal, $status:literal, $english:literal, $chinese:literal;)*) => {
        /// Why something was not done, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$about])* $code),*
        }

        impl ErrorCode {
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $word),*
                }
            }

            /// What it means in HTTP, unless a call says otherwise.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$code => $status),*
                }
            }

            /// What it means for a person, in English and in Chinese.
            pub fn meaning(self) -> [&'static str; 2] {
                match self {
                    $(Self::$code => [$english, $chinese]),*
                }
            }
        }
    };
}

table! {
    /// Neither JSON nor MessagePack.
    InvalidJson = "invalid_json", 400, "invalid JSON", "无效的JSON";
    UnknownType = "unknown_type", 400, "unknown message type", "未知消息类型";
    /// A field is missing or of the wrong type.
    InvalidMessage = "invalid_message", 400, "invalid message", "无效的消息";
    NotAllowed = "not_allowed", 403, "not allowed", "不允许";
    /// A token does not prove an identity.
    Unauthorized = "unauthorized", 401, "unauthorized", "未授权";
    RateLimited = "rate_limited", 429, "too many", "过于频繁";
    /// A configured limit is reached.
    LimitExceeded = "limit_exceeded", 503, "limit exceeded", "超出限制";
    MessageTooLarge = "message_too_large", 400, "limit exceeded", "超出限制";
    NotFound = "not_found", 404, "not found", "未找到";
    /// Something in progress excludes it.
    Conflict = "conflict", 409, "conflict", "冲突";
    /// The server's fault.
    Internal = "internal", 500, "internal error", "内部错误";

    // Of calls alone.
    /// Not HTTP as it is understood here.
    BadRequest = "bad_request", 400, "bad request", "无效的请求";
    MethodNotAllowed = "method_not_allowed", 405, "method not allowed", "不允许的方法";
    RequestTimeout = "request_timeout", 408, "request timeout", "请求超时";
    LengthRequired = "length_required", 411, "length required", "缺少长度";
    BodyTooLarge = "body_too_large", 413, "body too large", "请求体过大";
    /// All unfinished input together allows no more of a request.
    TooLarge = "too_large", 413, "request too large", "请求过大";
    TaskTooLarge = "task_too_large", 413, "task too large", "任务过大";
    TargetTooLong = "target_too_long", 414, "target too long", "请求地址过长";
    UnsupportedMediaType = "unsupported_media_type", 415, "unsupported media type", "不支持的媒体类型";
    /// The server is not asked for under this name.
    UnknownHost = "unknown_host", 421, "unknown host", "未知主机";
    UpgradeRequired = "upgrade_required", 426, "upgrade required", "需要升级协议";
    HeadTooLarge = "head_too_large", 431, "head too large", "请求头过大";
    /// A transfer coding other than `chunked`.
    NotImplemented = "not_implemented", 501, "not implemented", "未实现";
    /// The server is shutting down.
    Draining = "draining", 503, "shutting down", "正在关闭";
    /// The store is not read yet, or did not keep what was done.
    StorageUnavailable = "storage_unavailable", 503, "storage unavailable", "存储不可用";
    VersionNotSupported = "version_not_supported", 505, "version not supported", "不支持的版本";
}
