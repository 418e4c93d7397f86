"""Pure codecs of the providers' wire formats: values in, values out, no network and no clock.

One module is the entry point of one dialect (`openai_chat`). Larger dialects have parts in files of the same prefix.
"""
