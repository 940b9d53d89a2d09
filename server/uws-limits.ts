/** Read by uWebSockets.js when it is loaded, so this comes before it. */

/**
 * Request line and headers, bytes. A subject of 1,024 bytes takes 3,072 when every one of them is percent-encoded, and
 * the library's own limit of 4,096 would leave too little for the rest.
 */
process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(16 * 1024);
