"""An adapter on disk, and away: our own folder, PEFT's and AdapterHub's, and the way to the Hub and back.

Every reader takes a folder for hostile: bounded sizes, no pickle unless it is asked for, nothing changed on an error.
It imports what an adapter is (methods, adapter and below); `adapters` calls it, so it names `Adapters` in types alone.
"""
