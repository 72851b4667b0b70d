"""The journal holds what the model's server sent: one module per SDK, which imports no other SDK.

Restate's integrations write models of their own into the journal. After a replay these have fields that the server
never sent, lack others, or refuse what the SDK's client has accepted. To import a module of this package is enough.
"""
