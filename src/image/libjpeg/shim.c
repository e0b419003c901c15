/* libjpeg-turbo behind two functions. All error handling with setjmp and longjmp stays in this file, so no Rust frame is
   jumped over. A call frees everything that it allocated, whether it succeeds or fails. */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* The result of a call; mod.rs has the same numbers. */
enum { OK, BROKEN, CUT, SCANS, MEMORY, UNSUPPORTED, TOO_LARGE };

/* As `Header` in mod.rs. */
typedef struct {
  uint32_t width, height;
  uint32_t components;
} sc_header;

/* As `Options` in mod.rs. */
typedef struct {
  uint32_t coded;      /* a J_COLOR_SPACE that replaces the file's own; 0: the file's */
  uint32_t channels;   /* 3: RGB, 4: CMYK as it is stored */
  uint32_t scale;      /* the image is decoded at one over this: 1, 2, 4 or 8 */
  uint64_t max_scans;
  uint64_t max_memory; /* bytes for the coefficients of a file with several scans */
} sc_options;

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf jump;
  char *message; /* JMSG_LENGTH_MAX bytes */
  int code;
} sc_error;

typedef struct {
  struct jpeg_progress_mgr base;
  uint64_t max_scans;
} sc_progress;

static void fail(sc_error *error, int code, const char *text) {
  error->code = code;
  snprintf(error->message, JMSG_LENGTH_MAX, "%s", text);
  longjmp(error->jump, 1);
}

/* The result of a call that ended with libjpeg's error `msg_code`. */
static int code_of(int msg_code) {
  switch (msg_code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
      return MEMORY;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
      return TOO_LARGE;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
      return UNSUPPORTED;
    default:
      return BROKEN;
  }
}

static void on_error(j_common_ptr cinfo) {
  sc_error *error = (sc_error *)cinfo->err;
  (*error->base.format_message)(cinfo, error->message);
  error->code = code_of(error->base.msg_code);
  longjmp(error->jump, 1);
}

/* Warnings are not printed: libjpeg goes on after damaged data, as it does in Pillow. */
static void on_message(j_common_ptr cinfo) { (void)cinfo; }

static struct jpeg_error_mgr *start_errors(sc_error *error, char *message) {
  struct jpeg_error_mgr *base = jpeg_std_error(&error->base);
  base->error_exit = on_error;
  base->output_message = on_message;
  error->message = message;
  error->code = BROKEN;
  return base;
}

static void on_progress(j_common_ptr cinfo) {
  sc_progress *progress = (sc_progress *)cinfo->progress;
  int scan = ((j_decompress_ptr)cinfo)->input_scan_number;
  if (scan > 0 && (uint64_t)scan > progress->max_scans) fail((sc_error *)cinfo->err, SCANS, "too many scans");
}

/* The whole file is in memory. At its end the decoder suspends, as in Pillow. libjpeg's own source would insert an end
   marker and fill the rest with grey. */
static void no_source(j_decompress_ptr cinfo) { (void)cinfo; }

static boolean no_more(j_decompress_ptr cinfo) {
  (void)cinfo;
  return FALSE;
}

static void skip(j_decompress_ptr cinfo, long count) {
  struct jpeg_source_mgr *source = cinfo->src;
  size_t wanted = count > 0 ? (size_t)count : 0;
  size_t skipped = wanted < source->bytes_in_buffer ? wanted : source->bytes_in_buffer;
  source->next_input_byte += skipped;
  source->bytes_in_buffer -= skipped;
}

/* Decodes into `out`. Reads only the header if `out` is NULL. */
int sc_jpeg_decode(const uint8_t *data, size_t length, const sc_options *options, sc_header *header, uint8_t *out,
                   size_t out_length, char *message) {
  struct jpeg_decompress_struct cinfo;
  struct jpeg_source_mgr source;
  sc_error error;
  sc_progress progress;
  memset(&cinfo, 0, sizeof cinfo);
  memset(&source, 0, sizeof source);
  memset(&progress, 0, sizeof progress);
  cinfo.err = start_errors(&error, message);
  if (setjmp(error.jump)) {
    jpeg_destroy_decompress(&cinfo);
    return error.code;
  }
  jpeg_create_decompress(&cinfo);
  source.init_source = source.term_source = no_source;
  source.fill_input_buffer = no_more;
  source.skip_input_data = skip;
  source.resync_to_restart = jpeg_resync_to_restart;
  source.next_input_byte = data;
  source.bytes_in_buffer = length;
  cinfo.src = &source;
  progress.base.progress_monitor = on_progress;
  progress.max_scans = options->max_scans;
  cinfo.progress = &progress.base;
  cinfo.mem->max_memory_to_use = (long)options->max_memory;

  int found = JPEG_HEADER_TABLES_ONLY;
  while (found == JPEG_HEADER_TABLES_ONLY) found = jpeg_read_header(&cinfo, FALSE); /* a TIFF's tables come first */
  if (found != JPEG_HEADER_OK) fail(&error, CUT, "unexpected end of data");
  header->width = cinfo.image_width;
  header->height = cinfo.image_height;
  header->components = (uint32_t)cinfo.num_components;
  if (out == NULL) {
    jpeg_destroy_decompress(&cinfo);
    return OK;
  }

  if (cinfo.data_precision != 8) fail(&error, UNSUPPORTED, "samples of more than 8 bits are not supported");
  cinfo.out_color_space = options->channels == 4 ? JCS_CMYK : JCS_RGB;
  cinfo.scale_num = 1;
  cinfo.scale_denom = options->scale;
  if (options->coded != 0) cinfo.jpeg_color_space = (J_COLOR_SPACE)options->coded;
  if (!jpeg_start_decompress(&cinfo)) fail(&error, CUT, "unexpected end of data");
  size_t stride = (size_t)cinfo.output_width * options->channels;
  if ((uint32_t)cinfo.output_components != options->channels || stride * cinfo.output_height != out_length)
    fail(&error, BROKEN, "the size of the image changes within the file");
  while (cinfo.output_scanline < cinfo.output_height) {
    JSAMPROW row = out + cinfo.output_scanline * stride;
    if (jpeg_read_scanlines(&cinfo, &row, 1) == 0) fail(&error, CUT, "unexpected end of data");
  }
  /* Errors behind the last row count, as in Pillow. A missing end marker does not: finishing suspends there. */
  (void)jpeg_finish_decompress(&cinfo);
  jpeg_destroy_decompress(&cinfo);
  return OK;
}

static void no_destination(j_compress_ptr cinfo) { (void)cinfo; }

static boolean full(j_compress_ptr cinfo) {
  fail((sc_error *)cinfo->err, MEMORY, "the buffer is too small");
  return FALSE;
}

/* Encodes RGB as baseline 4:2:0 into `out`. `length` is the room in `out`, then the bytes written. */
int sc_jpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t quality, uint8_t *out,
                   size_t *length, char *message) {
  struct jpeg_compress_struct cinfo;
  struct jpeg_destination_mgr destination;
  sc_error error;
  memset(&cinfo, 0, sizeof cinfo);
  memset(&destination, 0, sizeof destination);
  cinfo.err = start_errors(&error, message);
  if (setjmp(error.jump)) {
    jpeg_destroy_compress(&cinfo);
    return error.code;
  }
  jpeg_create_compress(&cinfo);
  destination.init_destination = destination.term_destination = no_destination;
  destination.empty_output_buffer = full;
  destination.next_output_byte = out;
  destination.free_in_buffer = *length;
  cinfo.dest = &destination;
  cinfo.image_width = width;
  cinfo.image_height = height;
  cinfo.input_components = 3;
  cinfo.in_color_space = JCS_RGB;
  jpeg_set_defaults(&cinfo); /* 4:2:0 */
  jpeg_set_quality(&cinfo, (int)quality, TRUE);
  jpeg_start_compress(&cinfo, TRUE);
  while (cinfo.next_scanline < height) {
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)cinfo.next_scanline * width * 3);
    (void)jpeg_write_scanlines(&cinfo, &row, 1);
  }
  jpeg_finish_compress(&cinfo);
  *length -= destination.free_in_buffer;
  jpeg_destroy_compress(&cinfo);
  return OK;
}
