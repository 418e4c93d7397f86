"""Pure codecs of the providers' wire formats: values in, values out, no network and no clock.

One module is the door of one dialect (`openai_chat`); longer ones keep their parts in files of the same prefix.
"""
